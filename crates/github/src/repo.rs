use std::fmt;

use crate::{ConfigError, GitHub, Issues};

/// The name of a repository, whose parts can stand in a path as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoName {
    owner: String,
    name: String,
}

impl RepoName {
    /// Takes a name's two parts.
    ///
    /// # Errors
    /// [`ConfigError`] names the part, `owner` or `repo`, that no repository can have.
    pub fn new(owner: &str, name: &str) -> Result<Self, ConfigError> {
        let fits = |part: &str, most: usize| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=most).contains(&part.len()) && part.bytes().all(known) && part != "." && part != ".."
        };
        let refused = |field, part: &str, expected| {
            let value = format!("{:?}", part.chars().take(64).collect::<String>());
            Err(ConfigError { field, value, expected })
        };
        if !fits(owner, 100) {
            return refused("owner", owner, "1 to 100 letters, digits, '-', '_' or '.'");
        }
        if !fits(name, 100) {
            return refused("repo", name, "1 to 100 letters, digits, '-', '_' or '.', and not '.' or '..'");
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Returns who owns it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns its name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// One repository, by way of a client.
#[derive(Debug, Clone)]
pub struct Repo {
    client: GitHub,
    name: RepoName,
}

impl Repo {
    pub(crate) const fn new(client: GitHub, name: RepoName) -> Self {
        Self { client, name }
    }

    /// Returns the repository's name.
    #[must_use]
    pub const fn name(&self) -> &RepoName {
        &self.name
    }

    /// Gives its issues.
    #[must_use]
    pub fn issues(&self) -> Issues {
        Issues::new(self.client.clone(), &self.name)
    }
}
