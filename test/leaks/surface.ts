/** One way in which the program gives something away: driven in a world, which then looks for canaries. */

import type { World } from "./world.ts";

export interface Surface {
  /** Unique; printed with the list. */
  readonly name: string;
  /** What it drives, as in the help: `export`, `snapshots list`; empty where it is no command of its own. */
  readonly commands: readonly string[];
  /** Rejects where the program does not get as far as the surface is about. */
  readonly run: (world: World) => Promise<void>;
}
