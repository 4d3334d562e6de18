import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { SETTINGS, type Setting } from "../src/runtime/settings/table.ts";

const root = new URL("..", import.meta.url).pathname;

/** Compares a section with the table it must hold; with WRITE_README set, writes it first. */
function assertSection(name: string, table: string): void {
  const path = join(root, "README.md");
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const split = (text: string) => {
    const [before = "", rest = ""] = text.split(begin);
    const [section = "", after] = rest.split(end);
    assert.ok(after !== undefined, `README.md has no section ${name}`);
    return { before, section, after };
  };
  if (process.env["WRITE_README"]) {
    const { before, after } = split(readFileSync(path, "utf8"));
    writeFileSync(path, `${before}${begin}\n${table}\n${end}${after}`);
  }
  assert.equal(split(readFileSync(path, "utf8")).section.trim(), table);
}

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Codes as the docstrings above their unions explain them: "- `CODE`: text". */
function documentedCodes(): Map<string, string> {
  const codes = new Map<string, string>();
  for (const file of sourceFiles(join(root, "src"))) {
    const text = readFileSync(file, "utf8");
    for (const [, code = "", meaning = ""] of text.matchAll(
      /^ ?\/?\*+ (?:- )?`([A-Z][A-Z_]+)`: (.+?)(?: \*\/)?$/gm,
    )) {
      codes.set(code, meaning);
    }
  }
  return codes;
}

/** Codes as the unions and `readonly code =` state them. */
function declaredCodes(): Set<string> {
  const codes = new Set<string>();
  for (const file of sourceFiles(join(root, "src"))) {
    const text = readFileSync(file, "utf8");
    for (const [, union = ""] of text.matchAll(/export type \w+ErrorCode =([^;]+);/g)) {
      for (const [, code = ""] of union.matchAll(/"([A-Z_]+)"/g)) codes.add(code);
    }
    for (const [, code = ""] of text.matchAll(/readonly code = "([A-Z_]+)";/g)) codes.add(code);
  }
  return codes;
}

describe("README.md", () => {
  it("has one row for each setting, with the default and meaning the code has", () => {
    const rows = Object.entries<Setting>(SETTINGS).map(
      ([name, { default: value, meaning }]) =>
        `| \`${name}\` | ${value === undefined ? "-" : `\`${value}\``} | ${meaning} |`,
    );
    assertSection(
      "settings",
      ["| variable | default | meaning |", "|---|---|---|", ...rows].join("\n"),
    );
  });

  it("has one row for each error code, with the meaning its docstring gives", () => {
    const documented = documentedCodes();
    const declared = [...declaredCodes()].sort();
    const rows = declared.map((code) => {
      const meaning = documented.get(code);
      assert.ok(meaning, `${code} has no docstring of the form "- \`${code}\`: meaning"`);
      return `| \`${code}\` | ${meaning} |`;
    });
    assertSection("errors", ["| code | meaning |", "|---|---|", ...rows].join("\n"));
  });

  it("links only to files that exist, as do the pages it links to", () => {
    const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...pagesBelow("docs")];
    for (const page of pages) {
      const text = readFileSync(join(root, page), "utf8");
      for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
        assert.ok(existsSync(join(root, page, "..", target)), `${page} links to ${target}`);
      }
    }
  });
});

function pagesBelow(directory: string): string[] {
  return readdirSync(join(root, directory), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.name.endsWith(".md"))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}
