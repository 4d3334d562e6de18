/** Which forward proxy a request to a store goes through: the variables that every program knows, read in one way for all stores. */

import { BlockList, isIP } from "node:net";
import { type ForwardProxy, parseForwardProxy } from "./forward-proxy.ts";

/** As the environment has them; empty counts as not set. */
export interface EgressVariables {
  /** HTTPS_PROXY: `http[s]://[user:password@]host[:port]`, `http://` may be left out. */
  readonly https?: string | undefined;
  /** HTTP_PROXY */
  readonly http?: string | undefined;
  /** NO_PROXY */
  readonly except?: string | undefined;
}

export interface Destination {
  readonly protocol: "http:" | "https:";
  /** A name, or an address, with or without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Undefined where `to` is reached directly. */
export type Egress = (to: Destination) => ForwardProxy | undefined;

export const DIRECT: Egress = () => undefined;

/** The error says which variable cannot be used, and repeats nothing of it: it may hold a password. */
export class EgressError extends Error {
  constructor(variable: string) {
    super(`${variable} is not a proxy's http or https URL`);
    this.name = "EgressError";
  }
}

/**
 * `https:` goes by HTTPS_PROXY, `http:` by HTTP_PROXY. NO_PROXY is a list of names, which stand for
 * all below them, too (`example.com`, `.example.com` and `*.example.com` mean the same), of addresses
 * and of blocks like 10.0.0.0/8, each with `:port` or without, or `*`. This machine itself, and the
 * metadata services that only it may ask, are reached directly whatever the variables say. Throws EgressError.
 */
export function readEgress({ https, http, except = "" }: EgressVariables): Egress {
  const proxies = {
    "https:": proxyIn("HTTPS_PROXY", https),
    "http:": proxyIn("HTTP_PROXY", http),
  };
  const exceptions = except
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(exceptionOf);
  return ({ protocol, host: written, port }) => {
    const host = written.toLowerCase().replace(/^\[|\]$|\.$/g, "");
    if (isNear(host)) return undefined;
    return exceptions.some((covers) => covers(host, port)) ? undefined : proxies[protocol];
  };
}

/**
 * A value for NO_PROXY: `except`, this machine, and where clouds hand out credentials, for SDKs that read it by
 * themselves. `others`: more hosts of that kind.
 */
export function exceptMetadata(except: string | undefined, others: readonly string[]): string {
  const addresses = [
    "localhost",
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::254",
    "fd00:ec2::23",
  ];
  return [except, ...addresses, ...METADATA_NAMES, ...others].filter(Boolean).join(",");
}

/** Where clouds hand out credentials: no host of theirs is anywhere but next to this machine. */
const METADATA_NAMES = ["metadata.google.internal", "metadata.goog"];

const NEAR = new BlockList();
NEAR.addSubnet("127.0.0.0", 8, "ipv4");
NEAR.addAddress("::1", "ipv6");
NEAR.addSubnet("169.254.0.0", 16, "ipv4");
NEAR.addSubnet("fe80::", 10, "ipv6");
// Of EC2, ECS and EKS: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
NEAR.addSubnet("fd00:ec2::", 32, "ipv6");

function isNear(host: string): boolean {
  return host === "localhost" || METADATA_NAMES.includes(host) || contains(NEAR, host);
}

function contains(block: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && block.check(host, family === 4 ? "ipv4" : "ipv6");
}

function proxyIn(variable: string, value: string | undefined): ForwardProxy | undefined {
  if (value === undefined || value === "") return undefined;
  const url = value.includes("://") ? value : `http://${value}`;
  const proxy = parseForwardProxy(url, true, url.toLowerCase().startsWith("https:") ? 443 : 80);
  if (proxy === undefined) throw new EgressError(variable);
  return proxy;
}

function exceptionOf(entry: string): (host: string, port: number) => boolean {
  if (entry === "*") return () => true;
  const [, ipv6, name, digits] = /^(?:\[(.*)\]|(.*?))(?::(\d+))?$/.exec(entry) ?? [];
  const isBareIpv6 = isIP(entry.replace(/\/\d+$/, "")) === 6;
  const place = (isBareIpv6 ? entry : (ipv6 ?? name ?? "")).toLowerCase();
  const covers = addressesOf(place) ?? namesOf(place);
  const only = isBareIpv6 || digits === undefined ? undefined : Number(digits);
  return (host, port) => (only === undefined || only === port) && covers(host);
}

/** Undefined if `place` is neither an address nor a block of them. */
function addressesOf(place: string): ((host: string) => boolean) | undefined {
  const [address = "", bits] = place.split("/");
  const family = isIP(address);
  if (family === 0) return undefined;
  const block = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  const length = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  if (!Number.isInteger(length) || length > (family === 4 ? 32 : 128)) return () => false;
  block.addSubnet(address, length, type);
  return (host) => contains(block, host);
}

function namesOf(place: string): (host: string) => boolean {
  const name = place.replace(/^\*?\.|\.$/g, "");
  return (host) => name !== "" && (host === name || host.endsWith(`.${name}`));
}
