//! Named steps at which a test can hold a process, to kill it just there.
//!
//! Built with debug assertions only: in a release build [`reach`] is empty. With `JHALAK_FAULT_POINT=STEP` and `JHALAK_FAULT_FILE=PATH` in its
//! environment, the first process that reaches STEP creates PATH and stays there until it is killed; who finds PATH there goes on. Steps of a
//! worker: after-download, after-decode, after-embedding, after-first-put, after-commit, after-result, before-ack. Of a coordinator: coordinator-planned,
//! coordinator-published, coordinator-extracted, coordinator-gathered, coordinator-trained, coordinator-reported.

/// Says that this process has come to `step`.
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
