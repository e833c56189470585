/**
 * Parsing by a strftime format, as Python's `datetime.strptime` does it: numbers may lack leading zeros (`%-d` is `%d`),
 * a blank in the format stands for one or more, names are English in any case, nothing may be left over.
 */
import { TributaryError } from '@tributary/errors/error';
import { readOffset } from './iso.ts';
import { isDate, isTime, reset, setDayOfYear, setEpoch, type Moment } from './moment.ts';

/** Fills `moment`; false when the text is not in the format. */
export type MomentParser = (text: string, moment: Moment) => boolean;

type Step = { readonly directive: string } | { readonly literal: string };

const months = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

const composed: Readonly<Record<string, string>> = { T: '%H:%M:%S', R: '%H:%M', F: '%Y-%m-%d', D: '%m/%d/%y', r: '%I:%M:%S %p', n: ' ', t: ' ' };
const same: Readonly<Record<string, string>> = { e: 'd', h: 'b', k: 'H', l: 'I', P: 'p', L: 'f', N: 'f' };
const known = 'YmdHMSfzybBjpIsaAuwZ';

const wrong = (format: string, why: string): TributaryError =>
  new TributaryError('CONFIG_INVALID', `The cast_format ${JSON.stringify(format)} cannot be used: ${why}.`);

/**
 * `date` and `datetime` want a year in the format (or `%s`), `time` an hour.
 * @throws CONFIG_INVALID
 */
export const compileFormat = (format: string, wants: 'date' | 'datetime' | 'time'): MomentParser => {
  const steps = split(format, format);
  const has = (...directives: string[]): boolean => steps.some((step) => 'directive' in step && directives.includes(step.directive));
  if (wants === 'time' ? !has('H', 'I', 's') : !has('Y', 'y', 's'))
    throw wrong(format, wants === 'time' ? 'a time needs %H, or %I and %p' : `a ${wants} needs %Y, %y or %s`);
  return (text, moment) => parse(steps, text, moment);
};

const split = (format: string, whole: string): Step[] => {
  const steps: Step[] = [];
  for (let at = 0; at < format.length; at += 1) {
    const character = format.charAt(at);
    if (character !== '%') {
      steps.push({ literal: character });
      continue;
    }
    at += 1;
    if (format[at] === '-' || format[at] === '_') at += 1;
    // `%3f` and `%:z` of other dialects mean the same here.
    while (/[0-9:]/.test(format.charAt(at)) && at < format.length) at += 1;
    const letter = format.charAt(at);
    const directive = same[letter] ?? letter;
    const longer = composed[directive];
    if (letter === '%') steps.push({ literal: '%' });
    else if (longer !== undefined) steps.push(...split(longer, whole));
    else if (letter !== '' && known.includes(directive)) steps.push({ directive });
    else throw wrong(whole, letter === '' ? 'it ends with %' : `%${letter} is not known`);
  }
  return steps;
};

// The parser's cursor: one text is parsed at a time, start to end, so it need not be allocated anew.
let at = 0;

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isBlank = (code: number): boolean => code === 32 || (code >= 9 && code <= 13);

/** One to `most` digits as a number, or -1. */
const number = (text: string, most: number): number => {
  const begin = at;
  let value = 0;
  while (at - begin < most && isDigit(text.charCodeAt(at))) {
    value = value * 10 + text.charCodeAt(at) - 48;
    at += 1;
  }
  return at === begin ? -1 : value;
};

/** The place in `names` of the name, full or cut to three letters, that comes next; or -1. */
const name = (text: string, names: readonly string[]): number => {
  const three = text.slice(at, at + 3).toLowerCase();
  if (three.length < 3) return -1;
  const found = names.findIndex((candidate) => candidate.startsWith(three));
  const full = names[found];
  if (full === undefined) return -1;
  at += text.slice(at, at + full.length).toLowerCase() === full ? full.length : 3;
  return found;
};

const epoch = /-?\d{1,15}(?:\.\d{1,9})?/y;

const parse = (steps: readonly Step[], text: string, moment: Moment): boolean => {
  reset(moment);
  at = 0;
  let hour12 = -1;
  let afternoon: boolean | null = null;
  let dayOfYear = -1;
  let fromEpoch = false;
  for (const step of steps) {
    if ('literal' in step) {
      if (isBlank(step.literal.charCodeAt(0))) {
        while (isBlank(text.charCodeAt(at))) at += 1;
      } else if (text.charAt(at) === step.literal) at += 1;
      else return false;
      continue;
    }
    switch (step.directive) {
      case 'Y': {
        const begin = at;
        moment.year = number(text, 4);
        if (at - begin !== 4 || moment.year === 0) return false;
        break;
      }
      case 'y': {
        const short = number(text, 2);
        if (short === -1) return false;
        // POSIX: 69 to 99 are of the last century.
        moment.year = short >= 69 ? 1900 + short : 2000 + short;
        break;
      }
      case 'm':
        moment.month = number(text, 2);
        break;
      case 'b':
      case 'B':
        moment.month = name(text, months) + 1;
        break;
      case 'd':
        moment.day = number(text, 2);
        break;
      case 'j':
        dayOfYear = number(text, 3);
        if (dayOfYear === -1) return false;
        break;
      case 'H':
        moment.hour = number(text, 2);
        break;
      case 'I':
        hour12 = number(text, 2);
        if (hour12 < 1 || hour12 > 12) return false;
        break;
      case 'M':
        moment.minute = number(text, 2);
        break;
      case 'S':
        moment.second = number(text, 2);
        break;
      case 'f': {
        const begin = at;
        if (number(text, 9) === -1) return false;
        moment.fraction = text.slice(begin, at);
        break;
      }
      case 'p': {
        const mark = text.slice(at, at + 2).toLowerCase();
        if (mark !== 'am' && mark !== 'pm') return false;
        afternoon = mark === 'pm';
        at += 2;
        break;
      }
      case 'z': {
        if (text.charCodeAt(at) === 32) return false;
        const end = readOffset(text, at, moment);
        if (end === -1 || end === at) return false;
        at = end;
        break;
      }
      case 'Z': {
        const zone = /^(?:UTC|GMT|Z)/i.exec(text.slice(at, at + 3))?.[0];
        if (zone === undefined) return false;
        at += zone.length;
        moment.offset = 0;
        break;
      }
      case 's': {
        epoch.lastIndex = at;
        const found = epoch.exec(text)?.[0];
        if (found === undefined || !setEpoch(moment, Number(found))) return false;
        at += found.length;
        fromEpoch = true;
        break;
      }
      case 'a':
      case 'A':
        if (name(text, weekdays) === -1) return false;
        break;
      default:
        // %u and %w: the day of the week says nothing that the date does not.
        if (number(text, 1) === -1) return false;
    }
  }
  if (at !== text.length) return false;
  if (fromEpoch) return true;
  if (hour12 !== -1) moment.hour = (hour12 % 12) + (afternoon === true ? 12 : 0);
  if (dayOfYear !== -1 && !setDayOfYear(moment, dayOfYear)) return false;
  // The format of a time alone has no year; any leap year lets every day and month through.
  return isTime(moment.hour, moment.minute, moment.second) && isDate(moment.year === 0 ? 2000 : moment.year, moment.month, moment.day);
};
