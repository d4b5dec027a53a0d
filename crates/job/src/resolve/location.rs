//! Paths and URLs as people write them, made absolute.

use super::Surroundings;
use crate::inputs;

/// A path or URL that stands for no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// `${` without `}`, or a name that no variable can have.
    #[error("`{text}` has a broken variable: expected `${{NAME}}` or `${{NAME:-default}}`")]
    BrokenVariable {
        /// The text.
        text: String,
    },
    /// The variable is not set and there is no default.
    #[error("the variable `{name}` is not set: set it, or write `${{{name}:-default}}`")]
    Unset {
        /// The variable.
        name: String,
    },
    /// The URL names a store that is not known.
    #[error("`{scheme}://` is no known store: expected a path, `file`, `s3`, `gs`, `az`, `http` or `https`")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// Outputs cannot be written over HTTP.
    #[error("`{scheme}://` can be read and not written: expected a path, `file`, `s3`, `gs` or `az`")]
    ReadOnly {
        /// The scheme.
        scheme: String,
    },
    /// The URL carries a password, a token or a signature.
    #[error("the URL carries credentials: leave them out, they come from the environment")]
    Credentials,
}

const SCHEMES: [&str; 6] = ["file", "s3", "gs", "az", "http", "https"];
/// Names of query parameters that hand out access, as the clouds spell them.
const SECRET_PARAMETERS: [&str; 10] = [
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-signature",
    "x-goog-credential",
    "signature",
    "sig",
    "token",
    "access_token",
    "api_key",
];

impl Surroundings {
    /// An absolute path or a URL for what the job file has; `@` before a list stays.
    pub fn locate(&self, text: &str) -> Result<String, LocationError> {
        if let Some(list) = text.strip_prefix('@') {
            return Ok(format!("@{}", self.locate(list)?));
        }
        let text = self.expand_home(self.expand_variables(text)?)?;
        if let Some((scheme, _)) = text.split_once("://") {
            return check_url(&text, scheme).map(|()| text.clone());
        }
        let absolute = if text.starts_with('/') { text } else { format!("{}/{text}", self.directory) };
        Ok(normalize(&absolute))
    }

    /// Like [`Self::locate`] for a glob: the directory of the job file stands for itself, whatever its name holds.
    pub fn locate_glob(&self, glob: &str) -> Result<String, LocationError> {
        if glob.starts_with('@') {
            return self.locate(glob);
        }
        let mut escaped = Self { directory: inputs::escape(&self.directory), ..self.clone() };
        if let Some(home) = escaped.variables.get_mut("HOME") {
            *home = inputs::escape(home);
        }
        escaped.locate(glob)
    }

    /// The glob of an exclusion. A relative one stays so: it is matched against the end of paths. One that leaves its
    /// directory (`../x`) can only mean the job file's.
    pub fn locate_exclusion(&self, glob: &str) -> Result<String, LocationError> {
        let text = self.expand_home(self.expand_variables(glob)?)?;
        if text.starts_with('/') || text.contains("://") || text.split('/').any(|segment| segment == "..") {
            return self.locate_glob(glob);
        }
        let segments: Vec<&str> = text.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
        Ok(segments.join("/"))
    }

    fn expand_variables(&self, text: &str) -> Result<String, LocationError> {
        let broken = || LocationError::BrokenVariable { text: text.to_owned() };
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (variable, remaining) = after.split_once('}').ok_or_else(broken)?;
            let (name, default) = match variable.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (variable, None),
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(broken());
            }
            expanded.push_str(before);
            // As in a shell, an empty variable takes the default too.
            match (self.variables.get(name).filter(|value| !value.is_empty()), default) {
                (Some(value), _) => expanded.push_str(value),
                (None, Some(default)) => expanded.push_str(default),
                (None, None) => return Err(LocationError::Unset { name: name.to_owned() }),
            }
            rest = remaining;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn expand_home(&self, text: String) -> Result<String, LocationError> {
        match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let home =
                    self.variables.get("HOME").ok_or(LocationError::Unset { name: "HOME".to_owned() })?;
                Ok(format!("{home}{rest}"))
            }
            _ => Ok(text),
        }
    }
}

fn check_url(text: &str, scheme: &str) -> Result<(), LocationError> {
    if !SCHEMES.contains(&scheme) {
        return Err(LocationError::UnknownScheme { scheme: scheme.to_owned() });
    }
    // A glob is no URL to the letter, so look at the pieces that can carry a secret rather than parse it.
    let (_, after) = text.split_once("://").unwrap_or_default();
    let authority = after.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(LocationError::Credentials);
    }
    let query = after.split_once('?').map_or("", |(_, query)| query);
    let carries = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
        parameter.contains('=') && SECRET_PARAMETERS.contains(&name.as_str())
    };
    if query.split(['&', '#', ';']).any(carries) { Err(LocationError::Credentials) } else { Ok(()) }
}

/// Takes `.`, `..` and empty segments out of an absolute path, by its text alone.
fn normalize(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}
