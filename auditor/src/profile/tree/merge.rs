//! A rule's nodes go into the tree (`_db_tree_add`).

use super::{Branch, Id, Slot, Tree, Trouble};

impl<A: Copy + Eq> Tree<A> {
    /// Puts a rule's nodes into a level.
    pub(super) fn merge(&mut self, slot: Slot, new: Id) -> Result<(), Trouble> {
        let Some(mut at) = self.next(slot)? else { return Err(Trouble::Unfathomable) };
        loop {
            self.tire()?;
            let (x, n) = (*self.node(at)?, *self.node(new)?);
            if x.half.is_same(&n.half) {
                return self.merge_same(at, new);
            }
            if x.half.is_after(&n.half) {
                self.insert_before(slot, at, new)?;
                return Ok(());
            }
            match x.right {
                Some(right) => at = right,
                None => {
                    self.hold(at)?;
                    self.node_mut(new)?.left = Some(at);
                    self.hold(new)?;
                    self.node_mut(at)?.right = Some(new);
                    return Ok(());
                }
            }
        }
    }

    fn insert_before(&mut self, slot: Slot, at: Id, new: Id) -> Result<(), Trouble> {
        if let Some(left) = self.node(at)?.left {
            // What was in use by the neighbours stays in use by the new one between them.
            self.hold(new)?;
            self.node_mut(left)?.right = Some(new);
            self.node_mut(new)?.left = Some(left);
            self.hold(new)?;
            self.node_mut(at)?.left = Some(new);
            self.node_mut(new)?.right = Some(at);
        } else {
            self.hold(new)?;
            self.node_mut(at)?.left = Some(new);
            self.hold(at)?;
            self.node_mut(new)?.right = Some(at);
        }
        if self.next(slot)? == Some(at) {
            self.hold(new)?;
            self.point(slot, Some(new))?;
            self.release(at)?;
        }
        Ok(())
    }

    /// Two nodes that compare the same become one.
    fn merge_same(&mut self, at: Id, new: Id) -> Result<(), Trouble> {
        for side in [Slot::Yes, Slot::No] {
            let (x, n) = (self.branch_of(side(at))?, self.branch_of(side(new))?);
            let Some(action) = n.action else { continue };
            match x.action {
                None => {
                    if !self.has_only(x.next, action)? {
                        return Err(Trouble::Exists);
                    }
                    if let Some(below) = x.next {
                        self.size -= i64::from(self.release(below)?.0);
                    }
                    *self.branch(side(at))? = Branch { next: None, action: Some(action) };
                }
                Some(earlier) if earlier != action => {
                    let (old, young) = (*self.node(at)?, *self.node(new)?);
                    if young.half.high {
                        let is_yes = matches!(side(at), Slot::Yes(_));
                        if is_yes && young.half.whole > old.half.whole {
                            self.branch(side(at))?.action = Some(action);
                        }
                        // Before 2.6.1 the old action stays; since then the new one comes.
                        if !is_yes && young.half.whole < old.half.whole && !young.is_leaf() && !old.is_leaf() {
                            return Err(Trouble::Version);
                        }
                    }
                    if old.is_leaf() || young.is_leaf() {
                        return Err(Trouble::Exists);
                    }
                }
                Some(_) => {}
            }
        }
        for side in [Slot::Yes, Slot::No] {
            let Some(below) = self.next(side(new))? else { continue };
            let x = self.branch_of(side(at))?;
            if x.next.is_some() {
                self.merge(side(at), below)?;
            } else if x.action.is_none() {
                self.hold(below)?;
                self.point(side(at), Some(below))?;
            } else {
                // The old rule is the shorter one, and covers what follows.
                return Ok(());
            }
        }
        Ok(())
    }
}
