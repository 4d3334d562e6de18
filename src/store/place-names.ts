/** How the places are named that objects lie in. */

export interface NameRule {
  readonly pattern: RegExp;
  readonly text: string;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (general purpose buckets) */
export const S3_BUCKET: NameRule = {
  pattern: /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  text: "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends, no two dots in a row, and not an IP address",
};

/** https://cloud.google.com/storage/docs/buckets#naming */
export const GCS_BUCKET: NameRule = {
  pattern:
    /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)(?=.{3,222}$)[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*$/,
  text: "3 to 63 lower-case letters, digits, hyphens, underscores and dots (longer where dots part it), with a letter or digit at both ends, and not an IP address",
};

/** https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name */
export const AZURE_ACCOUNT: NameRule = {
  pattern: /^[a-z0-9]{3,24}$/,
  text: "3 to 24 lower-case letters and digits, without .blob.core.windows.net",
};

/**
 * https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata;
 * `$root` is left out, for its blobs have no `/` in their names.
 */
export const AZURE_CONTAINER: NameRule = {
  pattern: /^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
  text: "3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends",
};
