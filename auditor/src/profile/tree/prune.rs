//! Rules that a new one covers are taken out of the tree, and one that is covered does not go in (`_db_tree_prune`,
//! `_db_tree_remove`).

use super::{Branch, Id, Slot, Tree, Trouble};

/// What a search for covered rules found so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) matches: bool,
    matched_once: bool,
    pub(super) old_ended: bool,
    new_ended: bool,
    old_is_deeper: bool,
    pub(super) new_is_deeper: bool,
}

impl Found {
    fn join(&mut self, other: Self) {
        self.matches |= other.matches;
        self.matched_once |= other.matched_once;
        self.old_ended |= other.old_ended;
        self.new_ended |= other.new_ended;
        self.old_is_deeper |= other.old_is_deeper;
        self.new_is_deeper |= other.new_is_deeper;
    }
}

impl<A: Copy + Eq> Tree<A> {
    /// Takes out what the new rule covers: an old rule that compares what the new one does, and more before it, to the
    /// same end. Gives how many nodes went.
    pub(super) fn prune(
        &mut self,
        old: Option<Id>,
        new: Option<Id>,
        action: A,
        found: &mut Found,
    ) -> Result<u32, Trouble> {
        let (Some(old), Some(new)) = (old, new) else { return Ok(leave(found, *found, 0)) };
        if found.matched_once && !found.matches {
            return Ok(leave(found, *found, 0));
        }
        let mut dropped = 0;
        let mut seen = *found;
        let mut next = Some(self.leftmost(old)?);
        while let Some(mut at) = next {
            self.tire()?;
            next = self.node(at)?.right;
            let (x, n) = (*self.node(at)?, *self.node(new)?);
            if x.half.is_same(&n.half) {
                seen.matches = true;
                seen.matched_once = true;
                seen.new_ended |= n.is_leaf();
                seen.old_ended |= x.is_leaf();
                let more = |x: &Branch<A>, n: &Branch<A>| !x.leads_nowhere() && n.leads_nowhere();
                if more(&x.yes, &n.yes) || more(&x.no, &n.no) {
                    return Ok(leave(found, seen, dropped));
                }
                let ended = seen.new_ended && seen.old_ended;
                if ended && (n.yes.action != x.yes.action || n.no.action != x.no.action) {
                    return Ok(leave(found, seen, dropped));
                }
                let start = Found { matches: true, matched_once: true, ..*found };
                let mut gone = false;
                for side in [Slot::Yes, Slot::No] {
                    let Some(deeper) = self.next(side(new))? else { continue };
                    let mut below = start;
                    let (count, still) = self.prune_below(at, side(at), deeper, action, &mut below)?;
                    dropped += count;
                    if below.matches {
                        seen.join(below);
                    }
                    let Some(still) = still else {
                        gone = true;
                        break;
                    };
                    at = still;
                }
                if gone {
                    continue;
                }
                if self.has_only(Some(at), action)? && seen.matches {
                    if seen.new_ended && seen.old_is_deeper {
                        dropped += self.remove(Slot::Root, at)?;
                        if self.root.is_none() {
                            return Ok(leave(found, seen, dropped));
                        }
                    } else if seen.old_ended && seen.new_is_deeper {
                        return Ok(leave(found, seen, dropped));
                    }
                }
            } else {
                let old_comes_later = x.half.is_after(&n.half);
                if (old_comes_later && found.new_is_deeper) || (!old_comes_later && found.old_is_deeper) {
                    return Ok(leave(found, seen, dropped));
                }
                for side in [Slot::Yes, Slot::No] {
                    let mut below = Found { matches: false, ..*found };
                    let (count, still) = if old_comes_later {
                        if self.next(side(at))?.is_none() {
                            continue;
                        }
                        below.old_is_deeper = true;
                        self.prune_below(at, side(at), new, action, &mut below)?
                    } else {
                        let Some(deeper) = self.next(side(new))? else { continue };
                        below.new_is_deeper = true;
                        self.hold(at)?;
                        let count = self.prune(Some(at), Some(deeper), action, &mut below)?;
                        let (freed, still) = self.release(at)?;
                        (count + freed, still)
                    };
                    dropped += count;
                    if below.matches {
                        seen.join(below);
                        return Ok(leave(found, seen, dropped));
                    }
                    let Some(still) = still else { break };
                    at = still;
                }
            }
        }
        seen.matches = false;
        Ok(leave(found, seen, dropped))
    }

    /// Goes on below one branch of an old node, which is kept in use meanwhile. Also gives what is left of the node.
    fn prune_below(
        &mut self,
        at: Id,
        slot: Slot,
        new: Id,
        action: A,
        found: &mut Found,
    ) -> Result<(u32, Option<Id>), Trouble> {
        self.hold(at)?;
        let count = self.prune(self.next(slot)?, Some(new), action, found)?;
        let (freed, still) = self.release(at)?;
        Ok((count + freed, still))
    }

    /// Takes a node out of the tree, and nodes above that lead nowhere then. Gives how many went.
    fn remove(&mut self, slot: Slot, target: Id) -> Result<u32, Trouble> {
        let Some(start) = self.next(slot)? else { return Ok(0) };
        let mut at = self.leftmost(start)?;
        let mut dropped = 0;
        loop {
            self.tire()?;
            if at != target {
                dropped += self.remove(Slot::Yes(at), target)?;
                dropped += self.remove(Slot::No(at), target)?;
            }
            let node = *self.node(at)?;
            if at == target || node.leads_nowhere() {
                if self.next(slot)? == Some(at) {
                    self.point(slot, node.left.or(node.right))?;
                }
                if let Some(left) = node.left {
                    self.node_mut(left)?.right = node.right;
                }
                if let Some(right) = node.right {
                    self.node_mut(right)?.left = node.left;
                }
                let node = self.node_mut(at)?;
                node.left = None;
                node.right = None;
                return Ok(dropped + self.release(at)?.0);
            }
            match node.right {
                Some(right) if dropped == 0 => at = right,
                _ => return Ok(dropped),
            }
        }
    }
}

/// Ends a search on one level: what it found goes up if it is a match.
fn leave(found: &mut Found, seen: Found, dropped: u32) -> u32 {
    if seen.matches {
        found.join(seen);
    } else {
        found.matches = false;
    }
    dropped
}
