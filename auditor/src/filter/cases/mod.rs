//! A diagram as a short list of conditions that people can read.
//!
//! One argument after the other is taken apart: for each thing that can follow, the set of the argument's values is
//! described ([`set`]), and what most of it falls into comes last and without a condition. What that leaves too long is
//! shortened, and the result is held against the diagram, so that a list is either exact or not given.

mod set;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use self::set::Set;
use super::diagram::{BITS, Diagram, Diagrams, FALSE, Node, TRUE, TooComplex};
use super::{Outcome, Test};

/// Where all conditions hold, and those of no earlier case: what happens. The last case of a list has no condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// What must hold together.
    pub conditions: Vec<Test>,
    /// What happens then.
    pub outcome: Outcome,
}

/// Cases that a list has at most.
const MAX_CASES: usize = 1024;
/// Conditions of a list that is looked through for what can be left out: it takes the square of that.
const MAX_SHORTENED: usize = 256;

impl Case {
    /// Whether all conditions hold.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        self.conditions.iter().all(|test| test.holds(args))
    }
}

impl fmt::Display for Case {
    /// The conditions alone: `arg0 == 2 && arg1 & 0xf != 5`, or `otherwise`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.conditions.is_empty() {
            return f.write_str("otherwise");
        }
        for (at, test) in self.conditions.iter().enumerate() {
            let and = if at > 0 { " && " } else { "" };
            write!(f, "{and}{test}")?;
        }
        Ok(())
    }
}

/// A case with its outcome as a leaf.
#[derive(Debug, Clone)]
struct Line {
    tests: Vec<Test>,
    leaf: Node,
}

impl Diagrams {
    /// The diagram as a list of cases, the first that holds decides: few where they can be, and exact.
    ///
    /// # Errors
    ///
    /// Where the list would be too long to be of use.
    pub fn cases(&mut self, diagram: Diagram) -> Result<Vec<Case>, TooComplex> {
        self.refresh();
        let usual = self.usual(diagram.0)?;
        let lines = Description { diagrams: self, usual, known: HashMap::new() }.of(diagram.0)?;
        let lines = lines.to_vec();
        let tests: usize = lines.iter().map(|line| line.tests.len()).sum();
        let lines = if tests > MAX_SHORTENED { lines } else { self.shorten(lines)? };
        let mut again = FALSE;
        for line in lines.iter().rev() {
            let condition = self.all(&line.tests)?;
            again = self.choose(condition, line.leaf, again)?;
        }
        if again != diagram.0 {
            return Err(TooComplex);
        }
        let case = |line: Line| {
            let outcome = self.value(line.leaf).map(Outcome::from_ret).ok_or(TooComplex)?;
            Ok(Case { conditions: line.tests, outcome })
        };
        lines.into_iter().map(case).collect()
    }

    /// The leaf that most arguments have; of equals the most restrictive.
    fn usual(&mut self, node: Node) -> Result<Node, TooComplex> {
        let mut leaves: Vec<Node> =
            self.reachable(node).into_iter().filter(|node| self.value(*node).is_some()).collect();
        leaves.sort_by_key(|leaf| std::cmp::Reverse(self.value(*leaf).map(u32::cast_signed)));
        let mut usual = (node, 0.0);
        for leaf in leaves {
            let indicator = self.apply(node, leaf, |value, leaf| u32::from(value == leaf))?;
            let share = self.share(indicator, &mut HashMap::new());
            if share >= usual.1 {
                usual = (leaf, share);
            }
        }
        Ok(usual.0)
    }

    fn all(&mut self, tests: &[Test]) -> Result<Node, TooComplex> {
        let mut all = TRUE;
        for test in tests {
            let test = self.condition(test)?;
            all = self.and(all, test)?;
        }
        Ok(all)
    }

    /// Takes out lines and conditions without which the list says the same.
    fn shorten(&mut self, lines: Vec<Line>) -> Result<Vec<Line>, TooComplex> {
        // What no earlier line has taken, for each line.
        let mut open = Vec::with_capacity(lines.len());
        let mut left = TRUE;
        for line in &lines {
            open.push(left);
            let condition = self.all(&line.tests)?;
            let not = self.not(condition)?;
            left = self.and(left, not)?;
        }
        let mut kept = Vec::new();
        // What the lines behind say.
        let mut behind = FALSE;
        for (mut line, open) in lines.into_iter().zip(open).rev() {
            let condition = self.all(&line.tests)?;
            if !kept.is_empty() && self.agree(condition, open, behind, line.leaf)? {
                continue;
            }
            for at in (0..line.tests.len()).rev() {
                let mut fewer = line.tests.clone();
                fewer.remove(at);
                let wider = self.all(&fewer)?;
                if self.agree(wider, open, behind, line.leaf)? || self.agree_beside(wider, &line, open, behind)? {
                    line.tests = fewer;
                }
            }
            let condition = self.all(&line.tests)?;
            behind = self.choose(condition, line.leaf, behind)?;
            kept.push(line);
        }
        kept.reverse();
        Ok(kept)
    }

    /// Where a condition holds, and nothing earlier did, a function is this leaf.
    fn agree(&mut self, condition: Node, open: Node, function: Node, leaf: Node) -> Result<bool, TooComplex> {
        let region = self.and(condition, open)?;
        Ok(self.choose(region, function, leaf)? == leaf)
    }

    /// The same for where a wider condition holds and the line's own does not.
    fn agree_beside(&mut self, wider: Node, line: &Line, open: Node, function: Node) -> Result<bool, TooComplex> {
        let own = self.all(&line.tests)?;
        let beside = self.choose(own, FALSE, wider)?;
        self.agree(beside, open, function, line.leaf)
    }
}

struct Description<'a> {
    diagrams: &'a mut Diagrams,
    /// The leaf that most arguments have.
    usual: Node,
    known: HashMap<Node, Rc<[Line]>>,
}

/// One thing that can follow an argument.
struct Way {
    to: Node,
    set: Set,
    lines: Rc<[Line]>,
}

impl Description<'_> {
    fn of(&mut self, node: Node) -> Result<Rc<[Line]>, TooComplex> {
        if let Some(lines) = self.known.get(&node) {
            return Ok(lines.clone());
        }
        let lines: Rc<[Line]> = if self.diagrams.value(node).is_some() {
            [Line { tests: Vec::new(), leaf: node }].into()
        } else {
            self.of_argument(node)?.into()
        };
        if lines.len() > MAX_CASES {
            return Err(TooComplex);
        }
        self.known.insert(node, lines.clone());
        Ok(lines)
    }

    /// What of some ways needs no condition: one that ends in what is usual, or else is usual itself, unless it is much
    /// dearer to describe the others.
    fn rest(&self, ways: &[Way]) -> Option<usize> {
        let cost = |way: &Way| way.set.tests() * way.lines.len();
        let all: usize = ways.iter().map(cost).sum();
        let others = |at: &usize| all - cost(&ways[*at]);
        let cheapest = (0..ways.len()).map(|at| others(&at)).min()?;
        let usual = |at: &usize| ways[*at].lines.last().is_some_and(|line| line.leaf == self.usual);
        (0..ways.len()).filter(|at| others(at) <= 4 * cheapest + 8).max_by_key(|at| (usual(at), *at))
    }

    /// The lines of a node that asks for an argument.
    fn of_argument(&mut self, node: Node) -> Result<Vec<Line>, TooComplex> {
        let argument = self.diagrams.variable(node) / BITS;
        let mut ways = Vec::new();
        for to in self.diagrams.after(node, argument) {
            let set = Set::new(self.diagrams, node, to, argument)?;
            ways.push(Way { to, set, lines: self.of(to)? });
        }
        ways.sort_by(|a, b| a.set.share.total_cmp(&b.set.share).then(a.to.cmp(&b.to)));
        let rest = self.rest(&ways).ok_or(TooComplex)?;
        let rest = ways.remove(rest);
        let mut lines = Vec::new();
        let mut done = FALSE;
        for way in ways {
            // Values that are done with already may be described once more, if that is shorter.
            let wider = way.set.widened(self.diagrams, done)?;
            for piece in wider.unwrap_or(way.set.pieces) {
                for line in &*way.lines {
                    let tests = piece.iter().chain(&line.tests).copied().collect();
                    lines.push(Line { tests, leaf: line.leaf });
                }
                if lines.len() > MAX_CASES {
                    return Err(TooComplex);
                }
            }
            done = self.diagrams.or(done, way.set.members)?;
        }
        lines.extend_from_slice(&rest.lines);
        Ok(lines)
    }
}

impl Diagrams {
    /// What can follow the bits of an argument, by rising values of it.
    fn after(&self, node: Node, argument: u16) -> Vec<Node> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            if !seen.insert(node) {
                continue;
            }
            let variable = self.variable(node);
            if self.value(node).is_none() && variable / BITS == argument {
                let (low, high) = self.below(node, variable);
                todo.extend([high, low]);
            } else {
                found.push(node);
            }
        }
        found
    }
}
