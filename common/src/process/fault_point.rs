//! Fault points: named steps at which a test can hold a process in order to kill it there.
//!
//! Only with debug assertions: in a release build [`reach`] is empty. With
//! `JHALAK_FAULT_POINT=STEP` and `JHALAK_FAULT_FILE=PATH` in the environment, the first process
//! that reaches STEP creates PATH and waits until it is killed; a process that finds PATH
//! continues. Steps of a worker: after-download, after-decode, after-embedding, after-first-put,
//! after-commit, after-result, before-ack. Steps of a coordinator: coordinator-planned,
//! coordinator-published, coordinator-extracted, coordinator-gathered, coordinator-trained,
//! coordinator-reported.

/// Marks `step` as reached by this process.
pub fn reach(step: &str) {
    #[cfg(debug_assertions)]
    hold(step);
    #[cfg(not(debug_assertions))]
    let _ = step;
}

#[cfg(debug_assertions)]
fn hold(step: &str) {
    let (Some(wanted), Some(file)) = (std::env::var_os("JHALAK_FAULT_POINT"), std::env::var_os("JHALAK_FAULT_FILE"))
    else {
        return;
    };
    if wanted.to_str() != Some(step) {
        return;
    }
    if std::fs::File::options().write(true).create_new(true).open(&file).is_ok() {
        tracing::warn!(step, "held at a fault point until this process is killed");
        loop {
            std::thread::park();
        }
    }
}
