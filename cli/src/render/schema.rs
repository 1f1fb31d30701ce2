//! The shipped schema holds for what is printed: every member of a printed plan is described in it, with its type, and what
//! it requires is there. Only the words of JSON Schema that the file uses are understood; any other fails.

use serde_json::{Value, json};

use super::{fixtures, json as render};

struct Schema(Value);

impl Schema {
    fn shipped() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/plan-1.0.json");
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "$schema" | "title" | "description" | "$defs" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.check(&self.0["$defs"][name], value, at)?;
                }
                "anyOf" => {
                    let fits = rule.as_array().unwrap().iter().any(|rule| self.check(rule, value, at).is_ok());
                    fits.then_some(()).ok_or(format!("{at}: fits none"))?;
                }
                "type" => has_type(rule, value).then_some(()).ok_or(format!("{at}: {value} is no {rule}"))?,
                "enum" => rule.as_array().unwrap().contains(value).then_some(()).ok_or(format!("{at}: {value}"))?,
                "required" => {
                    let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                    let missing = rule.as_array().unwrap().iter().find(missing).filter(|_| value.is_object());
                    missing.map_or(Ok(()), |name| Err(format!("{at}: lacks {name}")))?;
                }
                "properties" => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        let rule = rule.get(name).ok_or(format!("{at}.{name} is not described"))?;
                        self.check(rule, member, &format!("{at}.{name}"))?;
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"))?;
                    }
                }
                other => return Err(format!("the test does not know `{other}`")),
            }
        }
        Ok(())
    }

    fn holds(&self, value: &Value) -> Result<(), String> {
        self.check(&self.0, value, "plan")
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match rule {
        Value::Array(names) => names.iter().any(|rule| rule == name),
        one => one == name,
    }
}

#[test]
fn every_member_of_a_printed_plan_is_described() {
    let schema = Schema::shipped();
    let mut found = fixtures::rich();
    found.diagnostics = fixtures::diagnostics();
    for plan in [fixtures::design(), found, fixtures::lacking_value(), fixtures::unchanged()] {
        let printed: Value = serde_json::from_str(&render::document(&plan)).unwrap();
        schema.holds(&printed).unwrap();
    }
}

#[test]
fn an_apply_is_described_too() {
    let schema = Schema::shipped();
    let plan = fixtures::rich();
    let problem = fixtures::session_problem();
    let receipt = serde_json::from_value(json!({"revision": 2, "commit": "00", "outcome": "committed"})).unwrap();
    for (applied, error) in [(Some(&receipt), None), (None, Some((&problem).into()))] {
        let printed = render::document(&render::Applied { plan: &plan, applied, error });
        schema.holds(&serde_json::from_str(&printed).unwrap()).unwrap();
    }
}

#[test]
fn what_is_not_described_is_noticed() {
    let schema = Schema::shipped();
    let good: Value = serde_json::from_str(&render::document(&fixtures::rich())).unwrap();
    let spoil = |spoil: fn(&mut Value)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        schema.holds(&bad)
    };
    assert!(spoil(|plan| plan["extra"] = json!(1)).is_err());
    assert!(spoil(|plan| plan["changes"][0]["action"] = json!("explode")).is_err());
    assert!(spoil(|plan| plan["summary"]["create"] = json!("1")).is_err());
    assert!(spoil(|plan| drop(plan.as_object_mut().unwrap().remove("sessions"))).is_err());
}
