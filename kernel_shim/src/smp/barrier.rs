//! The place at which the CPUs of a run wait for each other.

use crate::cpus::record::SMP;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Waits until every CPU of the run has come here. Returns false when the run ends before.
pub fn barrier() -> bool {
    let everybody = SMP.participants.load(Relaxed).count_ones().into();
    // Acquire: pairs with the store below of the last time, which let this CPU through.
    let phase = SMP.phase.load(Acquire);
    // AcqRel: the last CPU to arrive has seen what the others did before, and passes it on.
    if SMP.arrived.fetch_add(1, AcqRel) + 1 == everybody {
        SMP.arrived.store(0, Relaxed);
        // Release: pairs with the load below.
        SMP.phase.store(phase + 1, Release);
        return true;
    }
    while SMP.phase.load(Acquire) == phase {
        if SMP.stopped() {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}
