//! What libseccomp makes of several rules with conditions for one call.
//!
//! It keeps no list of rules. It merges them into a tree of comparisons of 32-bit halves, where rules share what they
//! have in common, drop others that they cover, and are tried in an order of its own. Where two rules with different
//! actions hold for the same arguments, that order decides; so the tree is built here as libseccomp builds it
//! (`db_rule_add` and what it calls in db.c, versions 2.5.0 to 2.6.1), and read as its filter reads it (`_gen_bpf_chain`
//! in gen_bpf.c): siblings from left to right; where a comparison leads nowhere the next sibling follows, and after
//! the last one that of the level above.
//!
//! Nodes are shared, and are counted as libseccomp counts them, because whether a node is still in use elsewhere
//! decides what a later rule does to it.

mod merge;
mod prune;

use std::collections::BTreeMap;

use self::prune::Found;
use super::code::{Block, Code, Head, Target, Word};
use super::half::Half;
use super::{ArgCondition, Operator};

/// Nodes that are visited at most while a tree is built. A filter has 4,096 instructions: what takes longer cannot be
/// loaded.
const PATIENCE: u32 = 4_000_000;

/// Levels below each other: three for each of six arguments.
const DEEPEST: usize = 18;

/// Why there is no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// libseccomp refuses the rule: another one has the same conditions, or those and more, and another action.
    Exists,
    /// The versions of libseccomp differ.
    Version,
    /// More than a filter can hold, or something that libseccomp itself does not survive.
    Unfathomable,
}

type Id = usize;

/// Where a comparison leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Branch<A> {
    next: Option<Id>,
    action: Option<A>,
}

#[derive(Debug, Clone, Copy)]
struct Node<A> {
    half: Half,
    yes: Branch<A>,
    no: Branch<A>,
    left: Option<Id>,
    right: Option<Id>,
    /// Pointers to it. One that nothing points to is gone.
    uses: u32,
    gone: bool,
}

impl<A> Branch<A> {
    const NOWHERE: Self = Self { next: None, action: None };

    const fn leads_nowhere(&self) -> bool {
        self.next.is_none() && self.action.is_none()
    }
}

impl<A> Node<A> {
    const fn is_leaf(&self) -> bool {
        self.yes.next.is_none() && self.no.next.is_none()
    }

    const fn leads_nowhere(&self) -> bool {
        self.yes.leads_nowhere() && self.no.leads_nowhere()
    }
}

/// The rules with conditions of one call.
#[derive(Debug, Clone)]
pub(super) struct Tree<A> {
    nodes: Vec<Node<A>>,
    root: Option<Id>,
    /// How many nodes it has by libseccomp's count.
    size: i64,
    patience: u32,
}

/// Levels that code was generated for, by what follows them and what the accumulator holds.
type Known<A> = BTreeMap<(Id, Target<A>, Option<Word>), Target<A>>;

/// A pointer that an insertion may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Root,
    Yes(Id),
    No(Id),
}

impl<A: Copy + Eq> Tree<A> {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), root: None, size: 0, patience: PATIENCE }
    }

    /// Adds a rule. `wide`: the ABI has 64-bit arguments. The conditions are on different arguments, and at least one
    /// of them compares something.
    pub(super) fn add(&mut self, conditions: &[ArgCondition], wide: bool, action: A) -> Result<(), Trouble> {
        let before = self.nodes.len();
        let new = self.grow(conditions, wide, action)?;
        let grown = i64::try_from(self.nodes.len() - before).unwrap_or(i64::MAX);
        let mut found = Found::default();
        let dropped = self.prune(self.root, Some(new), action, &mut found)?;
        self.size -= i64::from(dropped);
        if self.root.is_none() {
            self.root = Some(new);
            self.size = grown;
        } else if dropped == 0 && found.matches && found.old_ended && found.new_is_deeper {
            // An old rule covers the new one.
            self.release_tree(Some(new))?;
        } else {
            self.merge(Slot::Root, new)?;
            self.size += grown - i64::from(self.release_tree(Some(new))?);
        }
        Ok(())
    }

    /// How many nodes it has by libseccomp's count.
    pub(super) const fn size(&self) -> i64 {
        self.size
    }

    /// The nodes of a rule alone, in the order of the arguments. The first one is used once.
    fn grow(&mut self, conditions: &[ArgCondition], wide: bool, action: A) -> Result<Id, Trouble> {
        let mut ordered: Vec<&ArgCondition> = conditions.iter().collect();
        ordered.sort_by_key(|condition| condition.index);
        let mut first = None;
        // The branches by which all conditions so far hold.
        let mut open: Vec<Slot> = Vec::new();
        for condition in ordered {
            let (top, holds) = self.grow_one(condition, wide)?;
            for slot in open {
                self.link(slot, top)?;
            }
            if first.is_none() {
                first = Some(top);
                self.hold(top)?;
            }
            open = holds;
        }
        for slot in open {
            self.branch(slot)?.action = Some(action);
        }
        first.ok_or(Trouble::Unfathomable)
    }

    /// The nodes of one condition: the first, and the branches by which it holds.
    fn grow_one(&mut self, condition: &ArgCondition, wide: bool) -> Result<(Id, Vec<Slot>), Trouble> {
        let is_below = matches!(condition.operator, Operator::Less | Operator::LessOrEqual);
        let differs = condition.operator == Operator::NotEqual;
        if !wide {
            let only = self.push(Half::of_low(condition));
            return Ok((only, vec![if is_below || differs { Slot::No(only) } else { Slot::Yes(only) }]));
        }
        let high = self.push(Half::of_high(condition));
        let Some(equal) = Half::of_high_equal(condition) else {
            let low = self.push(Half::of_low(condition));
            self.link(Slot::Yes(high), low)?;
            return Ok((high, if differs { vec![Slot::No(high), Slot::No(low)] } else { vec![Slot::Yes(low)] }));
        };
        let equal = self.push(equal);
        let low = self.push(Half::of_low(condition));
        self.link(Slot::No(high), equal)?;
        self.link(Slot::Yes(equal), low)?;
        let holds = if is_below { vec![Slot::No(equal), Slot::No(low)] } else { vec![Slot::Yes(high), Slot::Yes(low)] };
        Ok((high, holds))
    }

    fn link(&mut self, slot: Slot, to: Id) -> Result<(), Trouble> {
        self.hold(to)?;
        self.point(slot, Some(to))
    }

    fn push(&mut self, half: Half) -> Id {
        let (yes, no) = (Branch::NOWHERE, Branch::NOWHERE);
        self.nodes.push(Node { half, yes, no, left: None, right: None, uses: 0, gone: false });
        self.nodes.len() - 1
    }

    /// Whether nothing below leads to another action.
    fn has_only(&mut self, level: Option<Id>, action: A) -> Result<bool, Trouble> {
        let Some(level) = level else { return Ok(true) };
        let mut next = Some(self.leftmost(level)?);
        while let Some(at) = next {
            self.tire()?;
            let node = *self.node(at)?;
            let other = |branch: &Branch<A>| branch.action.is_some_and(|other| other != action);
            if other(&node.yes)
                || other(&node.no)
                || !self.has_only(node.yes.next, action)?
                || !self.has_only(node.no.next, action)?
            {
                return Ok(false);
            }
            next = node.right;
        }
        Ok(true)
    }

    /// The code that libseccomp generates for the tree.
    pub(super) fn generate(&self) -> Result<Code<A>, Trouble>
    where
        A: Ord,
    {
        let mut code = Code::new();
        let start = match self.root {
            None => Target::Default,
            Some(root) => self.generate_level(&mut code, root, Target::Default, None, 0, &mut BTreeMap::new())?,
        };
        code.finish(start);
        Ok(code)
    }

    /// The blocks of a level and of those below it, with what the accumulator holds when it begins.
    fn generate_level(
        &self,
        code: &mut Code<A>,
        level: Id,
        after: Target<A>,
        held: Option<Word>,
        depth: usize,
        known: &mut Known<A>,
    ) -> Result<Target<A>, Trouble>
    where
        A: Ord,
    {
        if let Some(first) = known.get(&(level, after, held)) {
            return Ok(*first);
        }
        // What each node loads is decided from left to right, where it leads from right to left.
        let mut heads = Vec::new();
        let mut now = held;
        for at in self.level(level, depth)? {
            let head = Head::of(&self.node(at)?.half, now);
            now = Some(head.end);
            heads.push((at, head));
        }
        let mut rest = after;
        for (at, head) in heads.into_iter().rev() {
            let node = self.node(at)?;
            let mut way = |branch: &Branch<A>| match (branch.next, branch.action) {
                (Some(below), _) => self.generate_level(code, below, rest, Some(head.end), depth + 1, known),
                (None, Some(action)) => Ok(Target::Action(action)),
                (None, None) => Ok(rest),
            };
            let (yes, no) = (way(&node.yes)?, way(&node.no)?);
            rest = code.block(Block { head, yes, no })?;
        }
        known.insert((level, after, held), rest);
        Ok(rest)
    }

    /// The nodes of a level from left to right.
    fn level(&self, level: Id, depth: usize) -> Result<Vec<Id>, Trouble> {
        if depth > DEEPEST {
            return Err(Trouble::Unfathomable);
        }
        let mut at = Some(self.leftmost(level)?);
        let mut nodes = Vec::new();
        while let Some(id) = at {
            if nodes.len() > self.nodes.len() {
                return Err(Trouble::Unfathomable);
            }
            nodes.push(id);
            at = self.node(id)?.right;
        }
        Ok(nodes)
    }

    fn leftmost(&self, mut at: Id) -> Result<Id, Trouble> {
        for _ in 0..=self.nodes.len() {
            match self.node(at)?.left {
                Some(left) => at = left,
                None => return Ok(at),
            }
        }
        Err(Trouble::Unfathomable)
    }

    fn tire(&mut self) -> Result<(), Trouble> {
        self.patience = self.patience.checked_sub(1).ok_or(Trouble::Unfathomable)?;
        Ok(())
    }

    fn node(&self, at: Id) -> Result<&Node<A>, Trouble> {
        self.nodes.get(at).filter(|node| !node.gone).ok_or(Trouble::Unfathomable)
    }

    fn node_mut(&mut self, at: Id) -> Result<&mut Node<A>, Trouble> {
        self.nodes.get_mut(at).filter(|node| !node.gone).ok_or(Trouble::Unfathomable)
    }

    fn branch(&mut self, slot: Slot) -> Result<&mut Branch<A>, Trouble> {
        match slot {
            Slot::Root => Err(Trouble::Unfathomable),
            Slot::Yes(at) => Ok(&mut self.node_mut(at)?.yes),
            Slot::No(at) => Ok(&mut self.node_mut(at)?.no),
        }
    }

    fn branch_of(&self, slot: Slot) -> Result<Branch<A>, Trouble> {
        match slot {
            Slot::Root => Ok(Branch { next: self.root, action: None }),
            Slot::Yes(at) => Ok(self.node(at)?.yes),
            Slot::No(at) => Ok(self.node(at)?.no),
        }
    }

    /// Where a pointer points.
    fn next(&self, slot: Slot) -> Result<Option<Id>, Trouble> {
        Ok(self.branch_of(slot)?.next)
    }

    fn point(&mut self, slot: Slot, to: Option<Id>) -> Result<(), Trouble> {
        match slot {
            Slot::Root => self.root = to,
            _ => self.branch(slot)?.next = to,
        }
        Ok(())
    }

    fn hold(&mut self, at: Id) -> Result<(), Trouble> {
        self.node_mut(at)?.uses += 1;
        Ok(())
    }

    /// One use less. The last one takes the node away, with what is below it and used by nothing else. Gives how many
    /// nodes went, and where a pointer to this one points then.
    fn release(&mut self, at: Id) -> Result<(u32, Option<Id>), Trouble> {
        self.tire()?;
        let node = self.node_mut(at)?;
        node.uses = node.uses.checked_sub(1).ok_or(Trouble::Unfathomable)?;
        if node.uses > 0 {
            return Ok((0, Some(at)));
        }
        node.gone = true;
        let Node { mut left, mut right, yes, no, .. } = *node;
        let mut went = 1;
        if let Some(left) = left {
            self.node_mut(left)?.right = None;
        }
        if let Some(right) = right {
            self.node_mut(right)?.left = None;
        }
        for neighbour in [&mut left, &mut right] {
            if let Some(id) = *neighbour {
                let (count, still) = self.release(id)?;
                went += count;
                *neighbour = still;
            }
        }
        if let Some(id) = left {
            if let Some(right) = right {
                self.hold(right)?;
            }
            self.node_mut(id)?.right = right;
        }
        if let Some(id) = right {
            if let Some(left) = left {
                self.hold(left)?;
            }
            self.node_mut(id)?.left = left;
        }
        went += self.release_tree(yes.next)?;
        went += self.release_tree(no.next)?;
        Ok((went, left.or(right)))
    }

    /// One use of a level less; without any from outside, the level goes.
    fn release_tree(&mut self, at: Option<Id>) -> Result<u32, Trouble> {
        let Some(at) = at else { return Ok(0) };
        let (mut went, still) = self.release(at)?;
        let Some(still) = still else { return Ok(went) };
        let first = self.leftmost(still)?;
        let mut next = Some(first);
        while let Some(id) = next {
            self.tire()?;
            let node = self.node(id)?;
            let links = u32::from(node.left.is_some()) + u32::from(node.right.is_some());
            if node.uses > links {
                return Ok(went);
            }
            next = node.right;
        }
        next = Some(first);
        while let Some(id) = next {
            let (count, still) = self.release(id)?;
            went += count;
            next = still;
        }
        Ok(went)
    }
}
