// A Raspberry Pi Pico without the Pico: the RP2040 emulator rp2040js with its USB serial port on a pty.
//
//   node rp2040_board.mjs RP2040JS_DIRECTORY BOOT_ROM FIRMWARE_UF2 PTY_MASTER_FD [OUTPUT-INPUT ...]
//
// OUTPUT-INPUT is a jumper wire between two pins; 26 to 29 are the analogue ones.
//
// Standard input is a lifeline: it carries nothing, and when it closes this process ends. The pty's end cannot serve as
// one, because it stays open for as long as any program has the port open.
//
// rp2040js 1.4.1 lacks three things that a serial REPL needs; each is put right below, at "Lacking".

import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [emulatorDirectory, romFile, imageFile, ptyArgument, ...wires] = process.argv.slice(2);
const pty = Number(ptyArgument);
const { ConsoleLogger, GPIOPinState, LogLevel, Simulator, USBCDC } = await import(
  pathToFileURL(path.join(emulatorDirectory, 'dist/esm/index.js')).href
);

const FLASH_BASE = 0x10000000;
const WATCHDOG_BASE = 0x40058000;
const USB_PACKET = 64;
const FIRST_ANALOGUE_PIN = 26;
const HIGHEST_READING = 4095; // of the 12-bit converter
// Enough for a full USB frame in either direction; beyond it the other side waits, as on a real bus.
const BACKLOG = 4096;
// The longest step of the board's clock: a machine that was suspended shall not fire an hour of timers at once.
const LONGEST_STEP_MS = 100;
// The CPU runs this long before the event loop may look for input and write output.
const SLICE_MS = 4;
// Between two looks at the wall clock; some 30 µs, the resolution that the board's time.ticks_us() then has.
const INSTRUCTIONS_PER_LOOK = 400;
// A sleeping CPU is woken by input or its next timer; this bounds what a timer that the emulator forgot could cost.
const LONGEST_NAP_MS = 50;

// ---- The host's side of the wire ----

let input = Buffer.alloc(0);
let output = [];
let outputLength = 0;
let writing = false;
let wake = () => {};

// fs.read and fs.write on the blocking descriptor occupy a pool thread, not the event loop. process.exit() would wait for
// such a thread, so the end is a signal: nothing here needs tidying.
const die = () => process.kill(process.pid, 'SIGKILL');
process.stdin.on('end', die).on('error', die).resume();

const readBuffer = Buffer.alloc(BACKLOG);
let reading = false;

function readMore() {
  if (reading || input.length >= BACKLOG) return;
  reading = true;
  fs.read(pty, readBuffer, 0, readBuffer.length, null, (error, length) => {
    reading = false;
    if (error || length === 0) return die();
    input = Buffer.concat([input, readBuffer.subarray(0, length)]);
    wake();
    readMore();
  });
}

function writeMore() {
  if (writing || outputLength === 0) return;
  writing = true;
  const bytes = Buffer.concat(output);
  output = [];
  const written = (error, length) => {
    if (error) return die();
    outputLength -= length;
    if (length < rest.length) {
      rest = rest.subarray(length);
      return fs.write(pty, rest, 0, rest.length, null, written);
    }
    writing = false;
    wake();
    writeMore();
  };
  let rest = bytes;
  fs.write(pty, rest, 0, rest.length, null, written);
}

// ---- The board ----

// Lacking, 1: the SSI (QSPI flash) controller is a stub, so the boot ROM's flash routines would spin on it. Their entry
// points become BKPT #n; BX LR and do their work here. The ROM's table of functions (RP2040 datasheet, 2.8.3) is at the
// address in the half-word at 0x14: pairs of a two-letter code and an address, ended by a zero code.
const ERASE = 1;
const PROGRAM = 2;
const FLASH_ROUTINES = { RE: ERASE, RP: PROGRAM };

function patchedRom() {
  const rom = fs.readFileSync(romFile);
  for (let entry = rom.readUInt16LE(0x14); rom.readUInt16LE(entry) !== 0; entry += 4) {
    const routine = FLASH_ROUTINES[rom.toString('latin1', entry, entry + 2)];
    if (routine === undefined) continue;
    const address = rom.readUInt16LE(entry + 2) & ~1; // bit 0 says "Thumb"
    rom.writeUInt16LE(0xbe00 | routine, address); // BKPT #routine
    rom.writeUInt16LE(0x4770, address + 2); // BX LR
  }
  // The slice begins at an aligned offset, which a Buffer from node's pool need not do.
  return new Uint32Array(rom.buffer.slice(rom.byteOffset, rom.byteOffset + rom.length));
}

function flashImage(flash) {
  const NOT_MAIN_FLASH = 1;
  const image = fs.readFileSync(imageFile);
  for (let block = 0; block < image.length; block += 512) {
    const flags = image.readUInt32LE(block + 8);
    const address = image.readUInt32LE(block + 12);
    const size = image.readUInt32LE(block + 16);
    if (flags & NOT_MAIN_FLASH || address < FLASH_BASE) continue;
    flash.set(image.subarray(block + 32, block + 32 + size), address - FLASH_BASE);
  }
}

function powerOn(flash) {
  const simulator = new Simulator();
  const { rp2040, clock } = simulator;
  const { core, usbCtrl: usb } = rp2040;
  rp2040.logger = new ConsoleLogger(LogLevel.Error + 1); // it would log every register that it does not know
  rp2040.loadBootrom(patchedRom());
  if (flash) rp2040.flash.set(flash);
  else flashImage(rp2040.flash);
  rp2040.onBreak = (routine) => {
    const [offset, second, count] = core.registers;
    if (routine === ERASE) rp2040.flash.fill(0xff, offset, offset + second);
    else if (routine === PROGRAM)
      // programming NOR flash can clear bits only
      for (let i = 0; i < count; i++) rp2040.flash[offset + i] &= rp2040.readUint8(second + i);
  };

  const board = { core, clock, flash: rp2040.flash, connected: false, resetRequested: false, wanted: 0, giveInput };
  const serial = new USBCDC(usb);
  serial.onDeviceConnected = () => {
    board.connected = true;
  };
  serial.onSerialData = (bytes) => {
    output.push(Buffer.from(bytes));
    outputLength += bytes.length;
  };
  rp2040.findPeripheral(WATCHDOG_BASE).onWatchdogTrigger = () => {
    board.resetRequested = true;
  };

  // Lacking, 2: a host with nothing to send answers NAK and the endpoint stays armed. USBCDC completes each transfer with
  // an empty packet, which the firmware answers by arming it again: an idle board would keep a whole core busy.
  usb.onEndpointRead = (endpoint, size) => {
    if (endpoint === serial.outEndpoint) board.wanted = size;
  };
  function giveInput() {
    if (!board.connected || board.wanted === 0 || input.length === 0) return;
    const packet = Uint8Array.from(input.subarray(0, Math.min(board.wanted, input.length, USB_PACKET)));
    board.wanted = 0;
    input = input.subarray(packet.length);
    usb.endpointReadDone(serial.outEndpoint, packet);
    readMore();
  }

  for (const [output, wired] of wires.map((wire) => wire.split('-').map(Number)))
    rp2040.gpio[output].addListener((state) => {
      const level = state === GPIOPinState.High;
      rp2040.gpio[wired].setInputValue(level);
      if (wired >= FIRST_ANALOGUE_PIN) rp2040.adc.channelValues[wired - FIRST_ANALOGUE_PIN] = level ? HIGHEST_READING : 0;
    });

  core.PC = FLASH_BASE; // the ROM's own boot would read the flash through the stubbed controller
  return board;
}

// ---- The run ----

let board = powerOn();
let lastLook = performance.now();

// Lacking, 3: Simulator counts cycles, so time.sleep(1) would last as long as the emulation needs for 125 million of them
// (some ten seconds). Here the board's timers follow the wall clock, however slowly its CPU runs.
function followWallClock() {
  const now = performance.now();
  board.clock.tick(Math.min(now - lastLook, LONGEST_STEP_MS) * 1e6);
  lastLook = now;
}

// Runs the CPU for a slice, or until it has output to pass on or sleeps; returns whether it sleeps.
function runSlice() {
  const { core, clock } = board;
  const end = performance.now() + SLICE_MS;
  board.giveInput();
  do {
    for (let i = 0; i < INSTRUCTIONS_PER_LOOK && !core.waiting; i++) core.executeInstruction();
    followWallClock();
    board.giveInput();
    if (core.waiting) {
      if (board.connected) return true;
      clock.tick(Math.max(clock.nanosToNextAlarm, 1000)); // nobody can see yet that the boot's waits are skipped
    }
  } while (outputLength === 0 && performance.now() < end);
  return false;
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function nap(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  }).finally(() => {
    wake = () => {};
  });
}

readMore();
for (;;) {
  const asleep = runSlice();
  writeMore();
  if (board.resetRequested) {
    board = powerOn(board.flash);
  } else if (outputLength >= BACKLOG) {
    // Nobody reads. The board stands still instead of dropping output after 500 ms as the firmware would: a slow test
    // machine must not look like a lossy board.
    await nap(LONGEST_NAP_MS);
  } else if (asleep && !(input.length && board.wanted)) {
    const untilAlarm = board.clock.nanosToNextAlarm / 1e6;
    if (untilAlarm === 0) await nap(LONGEST_NAP_MS);
    else if (untilAlarm < 1) await nextTurn(); // shorter than setTimeout can sleep
    else await nap(Math.min(untilAlarm, LONGEST_NAP_MS));
  } else {
    await nextTurn();
  }
}
