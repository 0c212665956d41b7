//! The priority of a run.

/// The share of the workers that a run gets while other runs want them too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Priority {
    /// About a quarter of a normal share while jobs of other runs wait, else a normal share
    Low,
    /// The same share as every other normal run
    #[default]
    Normal,
    /// About four normal shares
    High,
}

impl Priority {
    /// Returns the name that options and records use.
    pub fn name(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        }
    }
}
