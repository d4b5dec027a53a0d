//! One option of a resolved job, set from outside.

use orchestrator_text::ConfigError;
use serde_json::Value;

use crate::spec::{Job, Stage};

impl Job {
    /// The job with one option of a stage set: `filter.gopher_quality.gopher_short_doc`. The stage is called by its name
    /// (`filter_2` is the second of that name) or by its directory (`03-filter`).
    pub fn with(&self, key: &str, value: Value) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::new(key, message);
        let (name, path) =
            key.split_once('.').filter(|(_, path)| !path.split('.').any(str::is_empty)).ok_or_else(|| {
                wrong("is no option: expected `STAGE.KEY`, as in `quality.threshold`".to_owned())
            })?;
        let index = self.stage_called(name).ok_or_else(|| {
            let names: Vec<String> =
                self.pipeline.iter().map(|stage| format!("`{}`", stage.name())).collect();
            wrong(format!("the job has no stage `{name}`: expected one of {}", names.join(", ")))
        })?;
        let mut changed = self.clone();
        let stage = &mut changed.pipeline[index];
        let mut options = serde_json::to_value(&*stage).map_err(|error| wrong(error.to_string()))?;
        let mut place = &mut options[stage.name()];
        for segment in path.split('.') {
            let Value::Object(keys) = place else {
                return Err(wrong(format!("`{segment}` stands below what has no keys")));
            };
            place = keys.entry(segment).or_insert_with(|| Value::Object(serde_json::Map::new()));
        }
        *place = value;
        *stage = serde_json::from_value::<Stage>(options).map_err(|error| wrong(error.to_string()))?;
        if let Some(error) = stage.problems().first() {
            return Err(wrong(error.to_string()));
        }
        Ok(changed)
    }

    /// The place of a stage in the pipeline by its name or its directory.
    fn stage_called(&self, name: &str) -> Option<usize> {
        let by_directory = name.split_once('-').and_then(|(number, name)| {
            let number: usize = number.parse().ok()?;
            self.pipeline.get(number).filter(|stage| stage.name() == name).map(|_| number)
        });
        let (stem, nth) = match name.rsplit_once('_') {
            Some((stem, nth)) if nth.bytes().all(|byte| byte.is_ascii_digit()) => (stem, nth.parse().ok()?),
            _ => (name, 1_usize),
        };
        let mut named = self.pipeline.iter().enumerate().filter(|(_, stage)| stage.name() == stem);
        by_directory.or_else(|| named.nth(nth.checked_sub(1)?).map(|(index, _)| index))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job() -> Job {
        let pipeline = json!([
            {"read": {"paths": ["*.jsonl"]}}, {"filter": {"rules": ["gopher-quality"]}},
            {"filter": {"profile": "fineweb-2"}}
        ]);
        serde_json::from_value(json!({"name": "x", "output": "/out", "pipeline": pipeline})).expect("a job")
    }

    #[test]
    fn an_option_is_set_where_it_stands() {
        let changed = job().with("filter.gopher_quality.gopher_short_doc", json!(30)).expect("an option");
        assert_eq!(crate::difference(&job(), &changed).len(), 1, "{:?}", crate::difference(&job(), &changed));
        for same in ["filter_1", "01-filter"] {
            let key = format!("{same}.gopher_quality.gopher_short_doc");
            assert_eq!(job().with(&key, json!(30)).expect("an option"), changed);
        }
        let second =
            job().with("filter_2.fineweb_2.thresholds.de.list_ratio", json!(0.5)).expect("an option");
        let Stage::Filter(config) = &second.pipeline[2] else { panic!("a filter") };
        let thresholds = &config.fineweb_2.as_ref().expect("given").thresholds;
        assert_eq!(thresholds["de"].list_ratio, Some(0.5));
    }

    #[test]
    fn what_is_no_option_is_named() {
        for (key, value, expected) in [
            ("filter", json!(1), "expected `STAGE.KEY`"),
            ("filter.", json!(1), "expected `STAGE.KEY`"),
            ("dedup.bands", json!(1), "no stage `dedup`: expected one of `read`, `filter`"),
            ("filter_3.keep", json!(true), "no stage `filter_3`"),
            ("filter.gopher_quality.gopher_shrt_doc", json!(1), "gopher_shrt_doc"),
            ("filter.gopher_quality.gopher_short_doc", json!("many"), "invalid type"),
            ("filter.keep.deep", json!(1), "has no keys"),
            ("filter.gopher_quality.gopher_too_many_bullets", json!(2), "expected 0 to 1"),
        ] {
            let error = job().with(key, value).expect_err(key).to_string();
            assert!(error.contains(expected), "{key}: {error}");
        }
    }
}
