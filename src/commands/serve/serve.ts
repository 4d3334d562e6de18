/** `kong-fallback serve`: a daemon next to data planes that always has a config for them. */

import type { Command } from "../context.ts";
import { serveDbless } from "./dbless.ts";
import { servePlanes } from "./planes.ts";

/** Data planes in hybrid mode, or a DB-less Kong where one is named. */
export const serveCommand: Command = (context) =>
  context.settings.serveTarget === undefined
    ? servePlanes(context)
    : serveDbless(context, context.settings.serveTarget);
