import type { EncodedFormat } from '@tributary/contracts/ops';

/** Bytes pass through untouched when no mapper is in between and source and target share a format (the target's first choice); else rows. */
export const negotiate = (sourceFormats: readonly EncodedFormat[], targetFormats: readonly EncodedFormat[], untouched: boolean): 'rows' | EncodedFormat =>
  (untouched ? targetFormats.find((format) => sourceFormats.includes(format)) : undefined) ?? 'rows';
