//! COM1, a 16550 (National PC16550D datasheet), as an interrupt-driven receiver with a polled transmitter.
//!
//! No crate writes the registers: the crate that offers trigger levels needs Rust 1.91, and the version that Debian 12's
//! compiler accepts sets level 14 and another baud rate. DESIGN, D23.

use crate::arch::{cpu, cpu::NOBODY, exit::exit};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shim_parts::reply::ExitCode;
use spin::Mutex;
use x86_64::instructions::port::Port;

const COM1: u16 = 0x3f8; // as on a PC (QEMU 7.2, hw/char/serial-isa.c)

/// The size of the transmit FIFO: that many bytes fit once it is empty.
const FIFO_BYTES: usize = 16;

/// Divisor of the 115200 Hz clock (datasheet, table III).
const BAUD_115200: u16 = 1;

mod interrupt_enable {
    pub const DATA_READY: u8 = 1 << 0; // IER, "enable received data available interrupt" (datasheet, table II)
}

mod fifo_control {
    pub const ENABLE: u8 = 1 << 0; // FCR (datasheet, table II): FIFOs enabled, both cleared, trigger level
    pub const CLEAR_BOTH: u8 = 1 << 1 | 1 << 2;
    pub const LEVEL_1: u8 = 0 << 6;
    pub const LEVEL_14: u8 = 3 << 6;
}

mod line_control {
    pub const EIGHT_BITS: u8 = 3; // LCR (datasheet, table II)
    pub const DIVISOR_LATCH: u8 = 1 << 7;
}

mod modem_control {
    pub const READY: u8 = 1 << 0 | 1 << 1; // MCR, DTR and RTS (datasheet, table II)
    /// On a PC this output connects the interrupt line.
    pub const OUT2: u8 = 1 << 3;
}

mod line_status {
    pub const DATA_READY: u8 = 1 << 0; // LSR, DR and THRE (datasheet, table II)
    pub const TRANSMIT_EMPTY: u8 = 1 << 5;
}

static UART: Mutex<Uart> = Mutex::new(Uart::com1());

/// Whether the cursor stands at the beginning of a line. A crash report may begin in the middle of one.
static AT_LINE_START: AtomicBool = AtomicBool::new(true);

/// The CPU that prints alone.
static ALONE: AtomicUsize = AtomicUsize::new(NOBODY);
const PATIENCE: u32 = 1 << 22; // ours: so many looks at the lock take some 100 ms

/// The registers, by their names in the datasheet's table II.
struct Uart {
    /// RBR and THR; the divisor's low byte while the divisor latch is open.
    data: Port<u8>,
    /// IER; the divisor's high byte while the divisor latch is open.
    interrupt_enable: Port<u8>,
    fifo_control: Port<u8>,
    line_control: Port<u8>,
    modem_control: Port<u8>,
    line_status: Port<u8>,
    scratch: Port<u8>,
}

impl Uart {
    const fn com1() -> Self {
        Self {
            data: Port::new(COM1),
            interrupt_enable: Port::new(COM1 + 1),
            fifo_control: Port::new(COM1 + 2),
            line_control: Port::new(COM1 + 3),
            modem_control: Port::new(COM1 + 4),
            line_status: Port::new(COM1 + 5),
            scratch: Port::new(COM1 + 7),
        }
    }

    /// Whether SCR keeps what is written to it (datasheet, table II). A port without a device reads as 0xff.
    fn is_present(&mut self) -> bool {
        [0x5a, 0xa5].into_iter().all(|pattern| {
            write(&mut self.scratch, pattern);
            read(&mut self.scratch) == pattern
        })
    }

    fn init(&mut self) {
        write(&mut self.interrupt_enable, 0);
        write(&mut self.line_control, line_control::DIVISOR_LATCH);
        let [low, high] = BAUD_115200.to_le_bytes();
        write(&mut self.data, low);
        write(&mut self.interrupt_enable, high);
        write(&mut self.line_control, line_control::EIGHT_BITS);
        write(&mut self.fifo_control, fifo_control::ENABLE | fifo_control::CLEAR_BOTH | fifo_control::LEVEL_1);
        write(&mut self.modem_control, modem_control::READY | modem_control::OUT2);
        write(&mut self.interrupt_enable, interrupt_enable::DATA_READY);
    }

    fn has(&mut self, status: u8) -> bool {
        read(&mut self.line_status) & status != 0
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(FIFO_BYTES) {
            while !self.has(line_status::TRANSMIT_EMPTY) {
                core::hint::spin_loop();
            }
            for &byte in piece {
                write(&mut self.data, byte);
            }
        }
        AT_LINE_START.store(bytes.last() == Some(&b'\n'), Ordering::Relaxed);
    }
}

fn read(port: &mut Port<u8>) -> u8 {
    // SAFETY: every port of this module is a register of COM1. Reading one touches no memory.
    unsafe { port.read() }
}

fn write(port: &mut Port<u8>, value: u8) {
    // SAFETY: every port of this module is a register of COM1. A 16550 does no DMA, so no value touches memory.
    unsafe { port.write(value) }
}

/// Sets receive trigger level 1 (FCR 0x07), at which every byte that arrives wakes the CPU. At the usual level 14, each
/// command would wait for the receiver's character time-out, 4 characters at 115200 baud.
pub fn init() {
    let mut uart = UART.lock();
    // Without a UART no message arrives. Only the exit status can tell.
    if !uart.is_present() {
        exit(ExitCode::Panic);
    }
    uart.init();
}

/// When received bytes are announced by an interrupt: each at once, or when the FIFO is nearly full or its bytes have
/// waited for the time of 4 characters (datasheet, "FIFO Interrupt Mode Operation").
///
/// QEMU hands over as many bytes at once as are missing up to the trigger level (hw/char/serial.c, `serial_can_receive`,
/// 7.2): at level 1 one byte in each turn of its main loop.
pub enum Announce {
    EachByte,
    Burst,
}

/// Chooses when received bytes are announced. The content of the FIFO stays.
pub fn announce(when: Announce) {
    let level = match when {
        Announce::EachByte => fifo_control::LEVEL_1,
        Announce::Burst => fifo_control::LEVEL_14,
    };
    write(&mut UART.lock().fifo_control, fifo_control::ENABLE | level);
}

/// One received byte, if there is one.
pub fn try_receive() -> Option<u8> {
    let mut uart = UART.lock();
    uart.has(line_status::DATA_READY).then(|| read(&mut uart.data))
}

/// Sends all of it, waiting for the host where it must, and for a CPU that prints alone. Nothing from that CPU: what a panic's
/// message logs while it is written would stand in the middle of the report's line.
pub fn send(bytes: &[u8]) {
    while ALONE.load(Ordering::Relaxed) != cpu::index() {
        let mut uart = UART.lock();
        // Relaxed: the CPU that prints alone has held the lock since it said so.
        if ALONE.load(Ordering::Relaxed) == NOBODY {
            return uart.send(bytes);
        }
    }
}

/// Lets this CPU print alone, from the start of a line. It waits for a CPU that does, and for the end of what another one
/// sends. That may not come: then it prints all the same.
pub fn print_alone() {
    let me = cpu::index();
    // Acquire: pairs with the store in `print_together`.
    while ALONE.compare_exchange(NOBODY, me, Ordering::Acquire, Ordering::Relaxed).is_err_and(|other| other != me) {
        core::hint::spin_loop();
    }
    let _ = (0..PATIENCE).find(|_| UART.try_lock().is_some());
    if !AT_LINE_START.load(Ordering::Relaxed) {
        send_alone(b"\n");
    }
}

/// Lets all CPUs print.
pub fn print_together() {
    ALONE.store(NOBODY, Ordering::Release);
}

/// As [`send`], on a CPU that prints alone: it takes no lock, because a holder may have been interrupted and never goes on.
pub fn send_alone(bytes: &[u8]) {
    Uart::com1().send(bytes);
}
