//! Bundles: several files in the manifest's order, with modules of their own.

use crate::plugin::Fixture;
use coprocess_core::HookType;

fn loaded(files: &[(&str, &str)]) -> Fixture {
    match Fixture::bundle(files) {
        Ok(fixture) => fixture,
        Err(error) => panic!("{error}"),
    }
}

fn header(fixture: &Fixture, hook: &str) -> String {
    let object = fixture.run(hook).unwrap_or_else(|error| panic!("{error}"));
    object.request.set_headers["X-A"].clone()
}

#[test]
fn files_run_in_the_order_of_the_list_and_share_their_globals() {
    let fixture = loaded(&[
        ("b.lua", "order = 'b'"),
        (
            "a.lua",
            "order = order .. 'a' function one(r) r:set_header('X-A', order) return r end",
        ),
        ("README.md", "# not code"),
        (
            "c.lua",
            "order = order .. 'c' function two(r) r:set_header('X-A', order .. '2') return r end",
        ),
    ]);
    assert_eq!(header(&fixture, "one"), "bac");
    assert_eq!(header(&fixture, "two"), "bac2");
    let unknown = fixture.plugin.hook("three", HookType::Pre).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no function `three`; there are: one, two"
    );
}

#[test]
fn modules_are_found_beside_below_and_in_vendor_and_run_once() {
    let code = "\
        local names = { 'rules', 'lib.deep', 'lib/deep', 'pkg', 'json5', 'vendor.json5', 'vendor/json5' }\n\
        function hook(request)\n\
          local found = {}\n\
          for i, name in ipairs(names) do found[i] = require(name).name end\n\
          assert(require('json5') == require('vendor.json5'))\n\
          request:set_header('X-A', table.concat(found, ' ') .. ' ' .. runs)\n\
          return request\n\
        end";
    let fixture = loaded(&[
        ("main.lua", code),
        ("rules.lua", "return { name = 'rules' }"),
        ("lib/deep.lua", "return { name = 'deep' }"),
        ("pkg/init.lua", "return { name = 'pkg' }"),
        (
            "vendor/json5.lua",
            "runs = (runs or 0) + 1 return { name = 'json5' }",
        ),
    ]);
    let expected = "rules deep deep pkg json5 json5 json5 1";
    assert_eq!(header(&fixture, "hook"), expected);
}

#[test]
fn two_bundles_with_the_same_names_do_not_meet() {
    let code = "local rules = require('rules')\n\
                function hook(r) shared = (shared or '') .. rules.name r:set_header('X-A', shared) return r end";
    let one = loaded(&[("main.lua", code), ("rules.lua", "return { name = 'one' }")]);
    let two = loaded(&[("main.lua", code), ("rules.lua", "return { name = 'two' }")]);
    for (fixture, expected) in [
        (&one, "one"),
        (&two, "two"),
        (&one, "oneone"),
        (&two, "twotwo"),
    ] {
        assert_eq!(header(fixture, "hook"), expected);
    }
}

#[test]
fn a_bundle_stands_or_falls_as_a_whole() {
    for (files, expected) in [
        (
            &[("good.lua", "x = 1"), ("bad.lua", "x = = 1")][..],
            "bad.lua: bad.lua:1: unexpected symbol near '='",
        ),
        (
            &[("main.lua", "\n\nrequire('nowhere')")],
            "main.lua:3: no module 'nowhere' in this plugin; there are: main",
        ),
        (
            &[
                ("main.lua", "\nrequire('ring')"),
                ("ring.lua", "require('main')"),
            ],
            "ring.lua:1: module 'main' requires itself",
        ),
        (
            &[
                ("main.lua", "require('sub.broken')"),
                ("sub/broken.lua", "\nerror('no luck')"),
            ],
            "sub/broken.lua:2: no luck",
        ),
        (
            &[("main.lua", "\u{1b}LJ\u{2}")],
            "main.lua: is compiled bytecode; ship the source instead",
        ),
    ] {
        match Fixture::bundle(files) {
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            Ok(_) => panic!("loaded: {expected}"),
        }
    }
}
