//! As whom a command runs: `USER[:GROUP]`, names or numbers.

use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, initgroups, setgid, setgroups, setuid};

/// A user, its group, and what its other groups are looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    text: String,
    uid: Uid,
    gid: Gid,
    /// Its name, where there is one: it has the groups that the name has.
    name: Option<CString>,
}

/// Why it is nobody that a command could run as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("no user {0:?}; give a name, or a number")]
    NoUser(String),
    /// There is no such group.
    #[error("no group {0:?}; give a name, or a number")]
    NoGroup(String),
    /// We may not become it.
    #[error("become the user {user}: {reason}; run as root")]
    Refused {
        /// The user.
        user: String,
        /// What the system said.
        reason: String,
    },
}

impl FromStr for User {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let no_user = || UserError::NoUser(user.to_owned());
        let known = match unistd::User::from_name(user) {
            Ok(Some(known)) => Some(known),
            _ => user.parse().ok().and_then(|uid| unistd::User::from_uid(Uid::from_raw(uid)).ok().flatten()),
        };
        let uid = match &known {
            Some(known) => known.uid,
            None => Uid::from_raw(user.parse().map_err(|_| no_user())?),
        };
        let gid = match group {
            Some(group) => group_id(group)?,
            // As for an engine: a number that nobody has is in root's group.
            None => known.as_ref().map_or(Gid::from_raw(0), |known| known.gid),
        };
        let name = known.and_then(|known| CString::new(known.name).ok());
        Ok(Self { text: text.to_owned(), uid, gid, name })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn group_id(group: &str) -> Result<Gid, UserError> {
    match unistd::Group::from_name(group) {
        Ok(Some(group)) => Ok(group.gid),
        _ => group.parse().map(Gid::from_raw).map_err(|_| UserError::NoGroup(group.to_owned())),
    }
}

impl User {
    /// Makes this process run as the user. There is no way back.
    ///
    /// # Errors
    /// It lacks the privilege.
    pub(super) fn become_it(&self) -> Result<(), UserError> {
        let refused =
            |errno: Errno| UserError::Refused { user: self.text.clone(), reason: errno.desc().to_lowercase() };
        match &self.name {
            Some(name) => initgroups(name, self.gid),
            None => setgroups(&[self.gid]),
        }
        .and_then(|()| setgid(self.gid))
        .and_then(|()| setuid(self.uid))
        .map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_users() {
        let root: User = "root".parse().unwrap();
        assert_eq!((root.uid.as_raw(), root.gid.as_raw(), root.name.as_deref()), (0, 0, Some(c"root")));
        assert_eq!("0".parse::<User>().unwrap().name.as_deref(), Some(c"root"));
        let nobody: User = "4000000:7".parse().unwrap();
        assert_eq!((nobody.uid.as_raw(), nobody.gid.as_raw(), nobody.name), (4_000_000, 7, None));
        assert_eq!("4000000".parse::<User>().unwrap().gid.as_raw(), 0);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", ":", "no-such-user", "-1", "4294967296"] {
            assert!(matches!(text.parse::<User>(), Err(UserError::NoUser(_))), "{text}");
        }
        assert!(matches!("root:no-such-group".parse::<User>(), Err(UserError::NoGroup(_))));
    }
}
