/** What `kong-fallback --help` prints. */

export const HELP = `kong-fallback: data planes that start while Kong's control plane is down

Usage: kong-fallback [command] [flags]

Commands
  export     follow the control plane and save each config; runs until stopped
  import     if the control plane is unreachable, hand the saved config to a new data plane
  serve      give data planes the live config, or the saved one without it; runs until stopped
  status     what is saved, how old it is, and how it compares with what the control plane has now:
             begin here when something is wrong
  snapshots  the saved configs and their history: list, show, diff, verify, restore, prune
  keys       generate: make the keys that sign and encrypt what is saved
  demo       the whole story on this machine, without Kong, cloud or Docker

Without a command, KONG_CLUSTER_FALLBACK_CONFIG_EXPORT=on means export and
KONG_CLUSTER_FALLBACK_CONFIG_IMPORT=on means import.

Flags of import
  --to TARGET              file:/path, - (standard output), or the URL of an Admin API
  --force                  do not ask whether the control plane lives
  --adapt                  take out what a DB-less open-source Kong refuses, and list it
  --probe handshake|config when the control plane counts as alive
  --probe-timeout SECONDS  how long it is tried
  --prefix-dir DIR         the data plane's prefix, for Kong's own cache
  --json                   the outcome as JSON on standard output

Flags of serve
  --target planes|admin|URL
                           data planes (default), or the Admin API of a DB-less Kong

Actions of snapshots; ID is what list shows
  list                     the newest 20; --all for all, --all-versions for every Kong version
  show [ID|current]        all that is known about one; --config for its bytes, which hold every
                           secret of the configuration
  diff A B                 entities and fields that differ, secrets masked; A and B are IDs, current
                           or paths of files; exit status 0: no difference, 1: some
  verify                   read every object and check it; --deep for what is in it as well;
                           --all-versions for every Kong version
  restore ID               make it the current one; --yes to be asked nothing, --take-over to take
                           the lease from the exporter that holds it
  prune                    remove from the history what is beyond its limits; --dry-run to see what

Flags of status and snapshots
  --kong-version VERSION   in place of KONG_VERSION
  --storage URL            in place of KONG_CLUSTER_FALLBACK_CONFIG_STORAGE
  --json                   the result as JSON on standard output

Flags of keys generate
  --signing                a pair that signs and verifies: signing.key, signing.pub
  --age                    a pair that encrypts and decrypts: age.key, age.pub
  --out DIR                where they are put; nothing there is overwritten
  --json                   what was made as JSON on standard output

Flags of demo
  --json                   the steps as JSON on standard output

Flags of all
  --help, -h               this text
  --version, -v            the version of kong-fallback

Everything else is set by environment variables, Kong's own where Kong has one:
README.md has the table. Exit status: 0 done, 1 unexpected, 2 usage or settings,
3 no usable snapshot, 4 store, target or control plane unavailable, 130 and 143 stopped by a signal.
`;
