/** Keys as they arrive where nobody looked at them. */

/** A key as it gets damaged on its way through YAML, shells and clipboards. */
export function damaged(pem: string): readonly string[] {
  const base64 = Buffer.from(pem).toString("base64");
  return [
    pem.replaceAll("\n", "\\n"),
    pem.replaceAll("\n", " "),
    pem.replaceAll("\n", ""),
    pem.split("\n").slice(1).join("\n"),
    pem.slice(5),
    pem.slice(0, -60),
    pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").replace("PRIVATE KEY", "X"),
    base64.slice(3),
    base64.slice(0, 200),
    `/${base64.slice(0, 180)}`,
    `${base64.slice(0, 100)}.${base64.slice(100, 200)}`,
    `file://${pem}`,
  ];
}
