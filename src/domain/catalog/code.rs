//! Targets as flat code, and attributes by number: what a decision evaluates instead of the trees
//! of [`Rule`]s, which explanations keep. One table of steps for all popups of a catalog, so that
//! popup after popup is asked without following boxes.
//!
//! Only "true" lets a popup pass, so three values become two: a step asks whether a clause is the
//! one truth that its place wants, and unknown is neither. A `not` turns what is wanted below it
//! (`all` of true becomes `any` of false) and is no step.
//!
//! ```text
//! all(a, any(b, not(c)), d)     0 a is true?   else reject
//!                               1 b is true?   then 3
//!                               2 c is false?  else reject
//!                               3 d is true?   then accept, else reject
//! ```
//!
//! Knows nothing of popups and requests. Limits: [`TARGET_NODES_MAX`] steps a target.

use std::sync::Arc;

use hashbrown::HashMap;

use super::target::{Rule, Test};
use nudged_base::limits::TARGET_NODES_MAX;

/// The popup may be shown, as far as its target goes.
pub(crate) const ACCEPT: u8 = 254;
/// It may not.
pub(crate) const REJECT: u8 = 255;

const _: () = assert!(TARGET_NODES_MAX < ACCEPT as usize);

/// One question, and where to go on with each answer: a step of the same target or [`ACCEPT`] or
/// [`REJECT`].
#[derive(Clone, Debug)]
pub(crate) struct TargetStep {
    pub(crate) test: Arc<Test>,
    /// The attribute's number.
    pub(crate) attribute: u32,
    /// What the clause has to be.
    pub(crate) wanted: bool,
    /// No request matches the target without it.
    pub(crate) is_needed: bool,
    pub(crate) then: u8,
    pub(crate) otherwise: u8,
}

/// The targets of a catalog.
#[derive(Debug, Default)]
pub struct TargetCode {
    /// Names by number, those that most clauses ask for first.
    names: Vec<Box<str>>,
    steps: Vec<TargetStep>,
    entries: Vec<TargetEntry>,
}

/// Where a target begins.
#[derive(Clone, Copy, Debug)]
struct TargetEntry {
    /// Its first step among those of all.
    start: u32,
    steps: u8,
    /// Where evaluation begins: at step 0, or at its end.
    first: u8,
}

impl TargetCode {
    /// Compiles targets, in the order of their popups; `None` for one without. Allocates.
    pub(crate) fn compile<'r>(
        targets: impl Iterator<Item = Option<&'r Rule>> + Clone,
    ) -> TargetCode {
        let names = names_by_use(targets.clone().flatten());
        let numbers = (0_u32..).zip(&names).map(|(number, name)| (*name, number)).collect();
        let mut compiler = TargetCompiler { numbers, steps: Vec::new() };
        let mut code = TargetCode {
            names: names.iter().map(|name| (*name).into()).collect(),
            ..TargetCode::default()
        };
        for target in targets {
            let first = target.map_or(ACCEPT, |rule| compiler.begin(rule));
            let start = u32::try_from(code.steps.len()).expect("some million steps at most");
            let count = u8::try_from(compiler.steps.len()).expect("targets are bounded");
            // Emitted from the end, so that each step knew where to go on.
            let turned = |to: u8| if to < ACCEPT { count - 1 - to } else { to };
            code.steps.extend(compiler.steps.drain(..).rev().map(|step| TargetStep {
                then: turned(step.then),
                otherwise: turned(step.otherwise),
                ..step
            }));
            code.entries.push(TargetEntry { start, steps: count, first: turned(first) });
        }
        code
    }

    /// The name of an attribute.
    pub(crate) fn name(&self, attribute: u32) -> &str {
        &self.names[attribute as usize]
    }

    /// The steps of a popup's target, and where its evaluation begins.
    pub(crate) fn target(&self, popup: u32) -> (&[TargetStep], u8) {
        let entry = self.entries[popup as usize];
        let start = entry.start as usize;
        (&self.steps[start..start + usize::from(entry.steps)], entry.first)
    }
}

/// Every attribute that is asked for, those that most clauses ask for first.
fn names_by_use<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<&'r str> {
    let mut uses: HashMap<&str, u32> = HashMap::new();
    let mut open: Vec<&Rule> = rules.collect();
    while let Some(rule) = open.pop() {
        match rule {
            Rule::All(parts) | Rule::Any(parts) => open.extend(parts),
            Rule::Not(part) => open.push(part),
            Rule::Clause { attribute, .. } => *uses.entry(attribute).or_default() += 1,
        }
    }
    let mut uses: Vec<(&str, u32)> = uses.into_iter().collect();
    uses.sort_unstable_by(|(a, a_uses), (b, b_uses)| b_uses.cmp(a_uses).then_with(|| a.cmp(b)));
    uses.into_iter().map(|(name, _)| name).collect()
}

/// A target at work: steps from the last one on.
struct TargetCompiler<'r> {
    numbers: HashMap<&'r str, u32>,
    steps: Vec<TargetStep>,
}

/// What a rule has to be, and where to go on.
#[derive(Clone, Copy)]
struct Goal {
    wanted: bool,
    is_needed: bool,
    then: u8,
    otherwise: u8,
}

impl TargetCompiler<'_> {
    /// Compiles a whole target; gives where its evaluation begins.
    fn begin(&mut self, rule: &Rule) -> u8 {
        let goal = Goal { wanted: true, is_needed: true, then: ACCEPT, otherwise: REJECT };
        self.compile(rule, goal)
    }

    fn compile(&mut self, rule: &Rule, goal: Goal) -> u8 {
        match rule {
            Rule::Not(part) => self.compile(part, Goal { wanted: !goal.wanted, ..goal }),
            Rule::Clause { attribute, test } => {
                let Goal { wanted, is_needed, then, otherwise } = goal;
                let (test, attribute) = (Arc::clone(test), self.numbers[&**attribute]);
                let step = TargetStep { test, attribute, wanted, is_needed, then, otherwise };
                self.steps.push(step);
                u8::try_from(self.steps.len() - 1).expect("targets are bounded")
            }
            Rule::All(parts) if goal.wanted => self.each(parts, goal),
            Rule::Any(parts) if !goal.wanted => self.each(parts, goal),
            Rule::All(parts) | Rule::Any(parts) => self.one(parts, goal),
        }
    }

    /// Each part has to be what is wanted.
    fn each(&mut self, parts: &[Rule], goal: Goal) -> u8 {
        parts.iter().rev().fold(goal.then, |then, part| self.compile(part, Goal { then, ..goal }))
    }

    /// One part has to be what is wanted.
    fn one(&mut self, parts: &[Rule], goal: Goal) -> u8 {
        let goal = Goal { is_needed: goal.is_needed && parts.len() == 1, ..goal };
        parts
            .iter()
            .rev()
            .fold(goal.otherwise, |otherwise, part| self.compile(part, Goal { otherwise, ..goal }))
    }
}
