//! The arena: nodes that exist once, the operations that make them, and the limits to both.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::filter::{Comparison, Test};

/// The index of a node. A leaf's value is a `SECCOMP_RET_*` value; [`FALSE`] and [`TRUE`] stand for themselves.
pub(in crate::filter) type Node = u32;

/// The leaf of a condition that does not hold.
pub(in crate::filter) const FALSE: Node = 0;
/// The leaf of a condition that holds.
pub(in crate::filter) const TRUE: Node = 1;

/// A function that has no diagram of acceptable size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the conditions on the arguments are too intertwined to be told exactly")]
pub struct TooComplex;

/// A question for one bit, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    /// [`LEAF`], or the bit: 64 times the argument plus its distance from the highest bit.
    variable: u16,
    /// Where the bit is not set; of a leaf its value.
    low: u32,
    /// Where it is.
    high: Node,
}

const LEAF: u16 = u16::MAX;

/// Bits of one argument.
pub(in crate::filter) const BITS: u16 = 64;
/// Where the variables of the instruction pointer begin, behind those of the arguments.
pub(in crate::filter) const POINTER: u16 = 6 * BITS;

/// Nodes that an arena holds at most.
const MAX_NODES: usize = 1 << 20;
/// Steps of work that one operation may take: a fraction of a second.
const MAX_STEPS: u32 = 1 << 19;
/// Steps that an arena may take in all: seconds, whatever filters it is given.
const MAX_STEPS_IN_ALL: u32 = 1 << 23;

/// The usual hash takes longer than the work around it. This one mixes numbers, nothing else is hashed here; who could
/// choose them to collide is held by the limits.
#[derive(Debug, Clone, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

/// An arena of diagrams.
#[derive(Debug, Clone)]
pub struct Diagrams {
    entries: Vec<Entry>,
    known: HashMap<Entry, Node, BuildHasherDefault<Mix>>,
    choices: HashMap<(Node, Node, Node), Node, BuildHasherDefault<Mix>>,
    limit: u32,
    steps: u32,
    steps_before: u32,
}

impl Default for Diagrams {
    fn default() -> Self {
        let leaf = |low| Entry { variable: LEAF, low, high: 0 };
        let known = [(leaf(0), FALSE), (leaf(1), TRUE)].into_iter().collect();
        Self {
            entries: vec![leaf(0), leaf(1)],
            known,
            choices: HashMap::default(),
            limit: MAX_STEPS,
            steps: 0,
            steps_before: 0,
        }
    }
}

impl Diagrams {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty arena in which one operation takes no more than so many steps of work; what does not fit is
    /// [`TooComplex`] the sooner.
    #[must_use]
    pub fn with_limit(steps: u32) -> Self {
        Self { limit: steps.min(MAX_STEPS), ..Self::default() }
    }

    /// A new allowance of work; each operation that others call begins with it.
    pub(in crate::filter) fn refresh(&mut self) {
        self.steps_before += self.steps;
        self.steps = 0;
        if self.choices.len() > MAX_NODES {
            self.choices.clear();
        }
    }

    /// Steps that the operation has taken.
    pub(in crate::filter) const fn steps(&self) -> u32 {
        self.steps
    }

    /// Takes a step of work.
    pub(in crate::filter) fn step(&mut self) -> Result<(), TooComplex> {
        self.steps += 1;
        if self.steps > self.limit || self.steps_before + self.steps > MAX_STEPS_IN_ALL {
            Err(TooComplex)
        } else {
            Ok(())
        }
    }

    fn entry(&self, node: Node) -> Entry {
        self.entries[node as usize]
    }

    /// The variable that a node asks for; that of leaves is behind all others.
    pub(in crate::filter) fn variable(&self, node: Node) -> u16 {
        self.entry(node).variable
    }

    /// The value of a leaf.
    pub(in crate::filter) fn value(&self, node: Node) -> Option<u32> {
        let Entry { variable, low, .. } = self.entry(node);
        (variable == LEAF).then_some(low)
    }

    /// Where a node leads for a variable not set and set.
    pub(in crate::filter) fn below(&self, node: Node, variable: u16) -> (Node, Node) {
        let entry = self.entry(node);
        if entry.variable == variable { (entry.low, entry.high) } else { (node, node) }
    }

    /// A node and all below it.
    pub(in crate::filter) fn reachable(&self, node: Node) -> HashSet<Node> {
        let mut seen = HashSet::from([node]);
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            let Entry { variable, low, high } = self.entry(node);
            if variable != LEAF {
                todo.extend([low, high].into_iter().filter(|below| seen.insert(*below)));
            }
        }
        seen
    }

    pub(in crate::filter) fn leaf(&mut self, value: u32) -> Result<Node, TooComplex> {
        self.node_of(Entry { variable: LEAF, low: value, high: 0 })
    }

    /// The node that asks for a variable; its branches ask for later ones.
    pub(in crate::filter) fn node(&mut self, variable: u16, low: Node, high: Node) -> Result<Node, TooComplex> {
        if low == high { Ok(low) } else { self.node_of(Entry { variable, low, high }) }
    }

    fn node_of(&mut self, entry: Entry) -> Result<Node, TooComplex> {
        if let Some(node) = self.known.get(&entry) {
            return Ok(*node);
        }
        let node = Node::try_from(self.entries.len()).map_err(|_| TooComplex)?;
        if self.entries.len() >= MAX_NODES {
            return Err(TooComplex);
        }
        self.entries.push(entry);
        self.known.insert(entry, node);
        Ok(node)
    }

    /// A test as a diagram of [`TRUE`] and [`FALSE`].
    pub(in crate::filter) fn condition(&mut self, test: &Test) -> Result<Node, TooComplex> {
        let (kind, negated) = match test.comparison {
            Comparison::Equal | Comparison::Less | Comparison::LessOrEqual => (test.comparison, false),
            other => (other.negated(), true),
        };
        // From the lowest bit up: what is known when all higher bits are equal.
        let mut so_far = if kind == Comparison::Less { FALSE } else { TRUE };
        for bit in 0..BITS {
            let (masked, expected) = (test.mask >> bit & 1 == 1, test.value >> bit & 1 == 1);
            let (low, high) = match (kind, expected) {
                (Comparison::Equal, true) => (FALSE, so_far),
                (Comparison::Equal, false) => (so_far, FALSE),
                (_, true) => (TRUE, so_far),
                (_, false) => (so_far, FALSE),
            };
            let variable = u16::from(test.argument) * BITS + BITS - 1 - bit;
            so_far = if masked { self.node(variable, low, high)? } else { low };
        }
        if negated { self.not(so_far) } else { Ok(so_far) }
    }

    pub(in crate::filter) fn not(&mut self, a: Node) -> Result<Node, TooComplex> {
        self.choose(a, FALSE, TRUE)
    }

    pub(in crate::filter) fn and(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        self.choose(a, b, FALSE)
    }

    pub(in crate::filter) fn or(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        self.choose(a, TRUE, b)
    }

    pub(in crate::filter) fn xor(&mut self, a: Node, b: Node) -> Result<Node, TooComplex> {
        let not = self.not(b)?;
        self.choose(a, not, b)
    }

    /// `then` where a condition holds, else `otherwise`.
    pub(in crate::filter) fn choose(
        &mut self,
        condition: Node,
        then: Node,
        otherwise: Node,
    ) -> Result<Node, TooComplex> {
        match (condition, then, otherwise) {
            (TRUE, _, _) => return Ok(then),
            (FALSE, _, _) => return Ok(otherwise),
            (_, TRUE, FALSE) => return Ok(condition),
            _ if then == otherwise => return Ok(then),
            _ => {}
        }
        let key = (condition, then, otherwise);
        if let Some(node) = self.choices.get(&key) {
            return Ok(*node);
        }
        self.step()?;
        let variable = self.variable(condition).min(self.variable(then)).min(self.variable(otherwise));
        let (c, t, o) = (self.below(condition, variable), self.below(then, variable), self.below(otherwise, variable));
        let low = self.choose(c.0, t.0, o.0)?;
        let high = self.choose(c.1, t.1, o.1)?;
        let node = self.node(variable, low, high)?;
        self.choices.insert(key, node);
        Ok(node)
    }

    /// Leaf by leaf.
    pub(in crate::filter) fn apply(
        &mut self,
        a: Node,
        b: Node,
        mut f: impl FnMut(u32, u32) -> u32,
    ) -> Result<Node, TooComplex> {
        self.apply_known(a, b, &mut f, &mut HashMap::new())
    }

    fn apply_known(
        &mut self,
        a: Node,
        b: Node,
        f: &mut impl FnMut(u32, u32) -> u32,
        known: &mut HashMap<(Node, Node), Node>,
    ) -> Result<Node, TooComplex> {
        if let Some(node) = known.get(&(a, b)) {
            return Ok(*node);
        }
        self.step()?;
        let variable = self.variable(a).min(self.variable(b));
        let node = if let (Some(a), Some(b)) = (self.value(a), self.value(b)) {
            self.leaf(f(a, b))?
        } else {
            let (left, right) = (self.below(a, variable), self.below(b, variable));
            let low = self.apply_known(left.0, right.0, f, known)?;
            let high = self.apply_known(left.1, right.1, f, known)?;
            self.node(variable, low, high)?
        };
        known.insert((a, b), node);
        Ok(node)
    }
}
