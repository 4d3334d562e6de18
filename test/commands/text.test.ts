import assert from "node:assert/strict";
import { describe, it } from "vitest";
import {
  formatBytes,
  formatDuration,
  formatList,
  formatTable,
  formatTime,
  printable,
} from "../../src/commands/text.ts";

describe("a table for people", () => {
  it("lines up its columns, and leaves no blanks at the end of a line", () => {
    const table = formatTable(
      [{ title: "NAME" }, { title: "SIZE", align: "right" }, { title: "STATE" }],
      [{ cells: ["a", "1 B", "held"] }, { cells: ["longer", "100 B"] }],
    );
    assert.equal(table, "NAME     SIZE  STATE\na         1 B  held\nlonger  100 B\n");
  });

  it("wraps notes within 100 columns, and leaves a longer word whole", () => {
    const words = Array.from({ length: 30 }, (_, index) => `word${index}`);
    const long = "x".repeat(120);
    const table = formatTable([{ title: "A" }], [{ cells: ["a"], notes: [words.join(" "), long] }]);
    const lines = table.trimEnd().split("\n").slice(2);
    assert.equal(lines.at(-1), `    ${long}`);
    const wrapped = lines.slice(0, -1);
    assert.ok(wrapped.length > 1);
    assert.ok(wrapped.every((line) => line.startsWith("    word") && line.length <= 100));
    assert.equal(wrapped.map((line) => line.trim()).join(" "), words.join(" "));
  });

  it("hangs the values of a list below each other", () => {
    const value = Array.from({ length: 30 }, () => "word").join(" ");
    const [first = "", second = ""] = formatList([
      ["a name", value],
      ["b", "x"],
    ]).split("\n");
    assert.ok(first.startsWith("a name  word"));
    assert.match(second, /^ {8}word/);
  });

  it("shows what a terminal would obey as something harmless", () => {
    assert.equal(
      printable("a\u001b[2J\nb\u202e\u2028\u0007é服"),
      "a\ufffd[2J\ufffdb\ufffd\ufffd\ufffdé服",
    );
    const table = formatTable([{ title: "A" }], [{ cells: ["\u001b"], notes: ["\u001b\n"] }]);
    assert.equal(table, "A\n\ufffd\n    \ufffd\ufffd\n");
  });
});

describe("quantities for people", () => {
  it.each([
    [0, "0 s"],
    [99_999, "99 s"],
    [100_000, "1 min"],
    [5_999_000, "99 min"],
    [6_000_000, "1 h"],
    [359_999_000, "99 h"],
    [360_000_000, "4 d"],
    [-5_000, "-5 s"],
  ])("%d ms are %s", (ms, text) => {
    assert.equal(formatDuration(ms), text);
  });

  it.each([
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [999_949, "999.9 kB"],
    [999_950, "1.0 MB"],
    [9_350_000, "9.3 MB"],
  ])("%d bytes are %s", (bytes, text) => {
    assert.equal(formatBytes(bytes), text);
  });

  it("gives times in UTC", () => {
    assert.equal(formatTime(new Date("2026-11-21T12:00:00.999Z")), "2026-11-21 12:00:00Z");
  });
});
