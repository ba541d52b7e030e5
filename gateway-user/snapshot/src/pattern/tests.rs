use super::*;

#[test]
fn equal_expressions_are_built_once() {
    let (none, library) = (Arc::default(), Library::default());
    let mut builder = PatternSetBuilder::after(&none, &library);
    let path = builder.intern(Subject::Path, "a+").unwrap();
    assert_eq!(builder.intern(Subject::Path, "a+").unwrap(), path);
    assert_ne!(builder.intern(Subject::Header("x"), "a+").unwrap(), path);
    assert!(builder.intern(Subject::Path, "(").is_err());
    assert_ne!(builder.intern(Subject::Path, "b").unwrap(), path);
    let set = builder.finish();
    assert_eq!(set.0.len(), 3);
    assert_eq!(set.totals().expressions, 2, "one automaton serves both parts of requests");
}

/// The texts by number after a set of these, and the set.
fn next<'a>(
    previous: &'a Arc<PatternSet>,
    library: &'a Library,
    expressions: &[&'a str],
) -> (Vec<String>, Arc<PatternSet>) {
    let mut builder = PatternSetBuilder::after(previous, library);
    for expression in expressions {
        builder.intern(Subject::Path, expression).unwrap();
    }
    let set = builder.finish();
    let text = |pattern: &Option<Pattern>| {
        let pattern = pattern.as_ref()?;
        assert!(pattern.matcher.is_match(pattern.expression.text().as_bytes()));
        Some(pattern.expression.text().to_owned())
    };
    (set.0.iter().map(|pattern| text(pattern).unwrap_or_default()).collect(), set)
}

#[test]
fn expressions_keep_their_numbers_and_leave_none_behind() {
    let (none, library) = (Arc::default(), Library::default());
    let (texts, first) = next(&none, &library, &["a", "b", "c"]);
    assert_eq!(texts, ["a", "b", "c"]);
    let (_, same) = next(&first, &library, &["c", "a", "b"]);
    assert!(Arc::ptr_eq(&first, &same));
    let (texts, second) = next(&first, &library, &["c", "a", "d"]);
    assert_eq!(texts, ["a", "", "c", "d"], "a number is free only once no table in use has it");
    let (texts, third) = next(&second, &library, &["d", "e", "c", "f"]);
    assert_eq!(texts, ["", "e", "c", "d", "f"]);
    let matchers = |set: &PatternSet, id: usize| Arc::clone(&set.0[id].as_ref().unwrap().matcher);
    assert!(Arc::ptr_eq(&matchers(&first, 2), &matchers(&third, 2)), "an automaton is built once");
}
