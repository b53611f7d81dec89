"""Remote functions: functions of the host whose source runs on a board. Sessions load them when they are used."""
