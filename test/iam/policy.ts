/** The policies in deploy/iam, and whether they say just what was asked of a store. */

import { readFileSync } from "node:fs";

/** One action, e.g. `s3:GetObject`, on one resource, e.g. `arn:aws:s3:::my-bucket/kong/3.9.1/config.json`. */
export interface Use {
  readonly action: string;
  readonly resource: string;
}

interface Statement {
  readonly Effect: "Allow";
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
}

/** Of a file in deploy/iam: one grant for each action on each resource, which may hold `*`. */
export function awsGrants(file: string): readonly Use[] {
  const { Statement: statements } = JSON.parse(policyText(file)) as {
    readonly Statement: readonly Statement[];
  };
  return statements.flatMap(({ Action, Resource }) =>
    [Action]
      .flat()
      .flatMap((action) => [Resource].flat().map((resource) => ({ action, resource }))),
  );
}

export function gcpPermissions(file: string): readonly string[] {
  const role = JSON.parse(policyText(file)) as { readonly includedPermissions: readonly string[] };
  return role.includedPermissions;
}

export function policyText(file: string): string {
  return readFileSync(new URL(`../../deploy/iam/${file}`, import.meta.url), "utf8");
}

/** Uses that no grant allows, each once. */
export function refusedUses(grants: readonly Use[], uses: readonly Use[]): readonly string[] {
  return told(uses.filter((use) => !grants.some((grant) => allows(grant, use))));
}

/** Grants that no use needed. */
export function idleGrants(grants: readonly Use[], uses: readonly Use[]): readonly string[] {
  return told(grants.filter((grant) => !uses.some((use) => allows(grant, use))));
}

function told(uses: readonly Use[]): readonly string[] {
  return [...new Set(uses.map(({ action, resource }) => `${action} ${resource}`))];
}

/** `*` in a resource stands for any text, slashes too. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html */
function allows(grant: Use, use: Use): boolean {
  const literal = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  const pattern = grant.resource.split("*").map(literal).join(".*");
  return grant.action === use.action && new RegExp(`^${pattern}$`).test(use.resource);
}
