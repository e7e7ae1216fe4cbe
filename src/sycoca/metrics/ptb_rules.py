"""Token rules of the Penn Treebank convention, as in Stanford CoreNLP 3.4.1's PTBTokenizer.

Caption metrics are defined by that program's behavior; the tests compare with it. As there, the longest match wins, of
equally long ones the first; character classes are case-sensitive, spelled-out words are not.
"""

import functools
from dataclasses import dataclass
from typing import Literal

from sycoca.metrics.ptb_characters import CURRENCIES, MARKS, QUOTES, SPACES, SYMBOLS, digits, letters

Action = Literal[
    "keep",
    "skip",
    "split off two",
    "split off three",
    "split off period",
    "without soft hyphens",
    "spaces kept",
    "spaces and brackets kept",
    "ampersand",
    "quote",
    "fraction",
    "money",
    "dash",
    "ellipsis",
    "less",
    "greater",
    "bracket",
]
"""How a match becomes a token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One class of tokens."""

    token: str
    """Regular expression of the token."""

    ahead: str = ""
    """Lookahead: what must follow. Its length counts in the longest match, but it is not consumed."""

    action: Action = "keep"
    """How the match becomes a token."""


_SPACE_OR_LINE = rf"[{SPACES}\r\n\u0085\u2028\u2029\u000B\u000C]"
_APOSTROPHE = r"(?:['\u0092\u2019]|(?ai:&apos;))"
_ANY_APOSTROPHE = r"(?:['`\u0091\u0092\u2018\u2019\u201B]|(?ai:&apos;))"
_AMPERSAND = r"(?ai:&amp;)"
_HYPHEN = r"[-_\u058A\u2010\u2011]"
_AFTER_SENTENCE = (
    r"A(?ai:dditionally|ccording|bout|fter|n|s|t|)|B(?ai:ut)|E(?ai:arlier)|H(?ai:owever|ere|er|e)|I(?ai:f|"
    r"n|t)|L(?ai:ast)|M(?ai:any|ore|r\.|s\.)|N(?ai:ow)|O(?ai:ther|nce|ne|ur)|S(?ai:ince|ome|uch|he|o)|T(?a"
    r"i:heir|here|hese|hat|hen|hey|his|he)|W(?ai:hile|hen|hat|e)|Y(?ai:et|ou)"
)
_COUNTRIES = r"(?ai:(?:Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(?:U\.S\.S\.R|U\.K))"
_ACRONYM = rf"(?:{_COUNTRIES}|[A-Za-z](?:\.[A-Za-z])*)"
_LONG_ACRONYM = rf"(?:{_COUNTRIES}|[A-Za-z](?:\.[A-Za-z])+)"
_USUALLY_LAST = (
    r"(?:(?ai:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thu|Thurs|Fri|Ala|Ariz|Calif|Colo|Conn|Ct|"
    r"Dak|Fla|Ga|Ind|Kans?|Ky|Md|Mich|Minn|Mo|Mont|Neb|Nev|Okla|Penn|Tenn|Va|Vt|Wisc?|Wyo|Inc|Cos?|Corp|"
    r"Ltd|Plc|Rt|Bancorp|Dept|Bhd|Assn|Univ|Intl|Sys|tel|est|ext|sq|Jr|Sr|Bros|Ed\.D|Ph\.D|Blvd|Rd|Esq|"
    r"etc|al|seq|Bldg)|(?ai:Pp?t)[ye](?ai:s?)|[A](?ai:z)|[A](?ai:rk)|[D](?ai:el)|[I](?ai:ll)|[L](?ai:a)|[M](?ai:ass)|[M](?ai:iss)|"
    r"[O](?ai:re)|[P](?ai:a)|[T](?ai:ex)|[W](?ai:ash))\."
)
_NEVER_LAST = (
    r"(?:(?ai:Mr|Mrs|Ms|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|Ste?|"
    r"Ave|Pres|Lieut|Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Adj|Adv|Asst|Assoc|Ens|Insp|Mlle|Mme|Msgr|Sfc|vs|Alex|"
    r"Wm|Jos|Cie|a\.k\.a|cf|TREAS|Ph|Invt|Elec|Natl)|[M](?ai:iss)|(?ai:M)[ft](?ai:g)|"
    rf"{_ACRONYM})"
)
_BEFORE_NUMBERS = r"(?ai:ca|figs?|prop|nos?|art|bldg|pp|op)\."
ABBREVIATION = rf"{_USUALLY_LAST}|{_NEVER_LAST}\."
"""Words that keep their period."""

_TAG_NAME = r"[A-Za-z][A-Za-z0-9_:.\-]*"
_ATTRIBUTE = rf"{_TAG_NAME}(?:[ ]*=[ ]*(?:'[^\r\n']*'|\"[^\r\n\"]*\"))?"
_TAG = rf"<(?:[!?][A-Za-z\-][^>\r\n]*|/{_TAG_NAME}|{_TAG_NAME}(?:[ ]+{_ATTRIBUTE})*[ ]*/?)[ ]*>"
_PHONE_SPACED = (
    r"(?:\([0-9]{2,3}\)[ \u00A0]?|(?:\+\+?)?(?:[0-9]{2,4}[\- \u00A0])?[0-9]{2,4}[\- \u00A0])"
    r"[0-9]{3,4}[\- \u00A0]?[0-9]{3,5}"
)
_PHONE_DOTTED = r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
_FILE_ENDING = (
    "(?ai:bat|bmp|class|cgi|cpp|c|dll|docx?|exe|gif|gz|html?|h|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|"
    "txt|wav|xml|x|zip)"
)
_PATH = r"(?:/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},\-])?"


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, in the order of precedence among equally long matches."""
    letter, digit = letters(), digits()
    alphanumeric = rf"[{letter}{digit}]"
    in_word = rf"(?:[{letter}\u00AD{MARKS}]|(?ai:&[aeiou](?:acute|grave|uml);))"
    in_word_or_digit = rf"(?:[{letter}\u00AD{MARKS}{digit}]|(?ai:&[aeiou](?:acute|grave|uml);))"
    word = rf"{in_word}{in_word_or_digit}*(?:[.!?]{in_word}{in_word_or_digit}*)*"
    short_form = rf"{_APOSTROPHE}(?:[msdMSD]|(?ai:re|ve|ll))"
    elided = rf"(?:[dDoOlL]{_ANY_APOSTROPHE}{alphanumeric})?{alphanumeric}+"
    hyphenated = rf"{elided}(?:{_HYPHEN}{elided})*"
    plain_hyphenated = rf"[A-Za-z0-9][A-Za-z0-9.,\u00AD]*(?:-(?:{_LONG_ACRONYM}\.|[A-Za-z0-9\u00AD]+))+"
    joined = rf"[A-Z]+(?:(?:[+&]|{_AMPERSAND})[A-Z]+)+"
    number = rf"[\-+]?(?:[{digit}]+(?:[.:,\u00AD\u066B\u066C][{digit}]+)*|(?:[.:,\u00AD\u066B\u066C][{digit}]+)+)"
    clause_mark = r"[,;:\u3001]"
    slashed = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
    return (
        Rule(token=r"(?ai:c)[+][+]|(?ai:c|f)#"),
        Rule(token=r"(?ai:cannot|'twas)", action="split off three"),
        Rule(token=rf"(?:{_APOSTROPHE}(?ai:tis)|(?ai:gonna|gotta|lemme|gimme|wanna))", action="split off two"),
        Rule(token=_TAG, action="spaces kept"),
        Rule(token=r"(?ai:&(?:MD|mdash|ndash);)|[\u0096\u0097\u2013-\u2015]", action="dash"),
        Rule(token=_AMPERSAND, action="ampersand"),
        Rule(token=r"(?ai:&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);)"),
        Rule(token=word, ahead=short_form, action="without soft hyphens"),
        Rule(
            token=r"[A-Za-z\u00AD]*[A-MO-Za-mo-z]\u00AD*",
            ahead=rf"(?ai:n){_ANY_APOSTROPHE}(?ai:t)",
            action="without soft hyphens",
        ),
        Rule(token=word, action="without soft hyphens"),
        Rule(token=rf"{_APOSTROPHE}(?ai:n){_APOSTROPHE}?|[lLdDjJ]{_APOSTROPHE}|(?ai:Dunkin|somethin|ol){_APOSTROPHE}"),
        Rule(token=rf"{_APOSTROPHE}(?ai:em|till?|cause)|{_APOSTROPHE}[2-9]0(?ai:s)"),
        Rule(token=rf"[A-HJ-XZn]{_ANY_APOSTROPHE}[{letter}]{{2}}[{letter}]*"),
        Rule(token=rf"[{letter}]+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z][{letter}]*"),
        Rule(token=r"(?ai:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)"),
        Rule(token=rf"(?ai:o){_ANY_APOSTROPHE}(?ai:o)"),
        Rule(token=rf"(?ai:y){_APOSTROPHE}", ahead=rf"[{letter}]"),
        Rule(token=r"(?ai:https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},\-]"),
        Rule(token=rf"(?ai:www)\.(?:[^ \t\n\f\r\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}{_PATH}"),
        Rule(token=rf"(?:[^ \t\n\f\r\"`'<>|.!?(){{}},-_$]+\.)+(?ai:com|net|org|edu){_PATH}"),
        Rule(
            token=r"(?:(?ai:&lt;)|<)?[a-zA-Z0-9][^ \t\n\f\r\"<>|()\u00A0{}]*@(?:[^ \t\n\f\r\"<>|(){}.\u00A0]+\.)*"
            r"[^ \t\n\f\r\"<>|(){}.\u00A0]+(?:(?ai:&gt;)|>)?"
        ),
        Rule(token=rf"@[a-zA-Z_][a-zA-Z_0-9]*|#{in_word}+"),
        Rule(token=short_form, ahead="[^A-Za-z]", action="quote"),
        Rule(token=rf"(?ai:n){_ANY_APOSTROPHE}(?ai:t)", action="quote"),
        Rule(token=rf"[{digit}]{{1,2}}[\-/][{digit}]{{1,2}}[\-/][{digit}]{{2,4}}"),
        Rule(token=number, action="without soft hyphens"),
        Rule(token=r"[\u207A\u207B\u208A\u208B]?(?:[\u2070\u00B9\u00B2\u00B3\u2074-\u2079]+|[\u2080-\u2089]+)"),
        Rule(
            token=rf"(?:[{digit}]{{1,4}}[- \u00A0])?[{digit}]{{1,4}}(?:\\?/|\u2044)[{digit}]{{1,4}}",
            action="spaces kept",
        ),
        Rule(token=r"[\u00BC-\u00BE\u2153-\u215E]", action="fraction"),
        Rule(
            token=rf"(?ai:-(?:RRB|LRB|RCB|LCB|RSB|LSB)-|C\.D\.s|pro-|anti-|S(?:&amp;|&)P-500|S(?:&amp;|&)Ls)"
            rf"|(?ai:Cap){_APOSTROPHE}(?ai:n)|(?ai:c){_APOSTROPHE}(?ai:est)",
            action="ampersand",
        ),
        Rule(token=slashed),
        Rule(token=r"[A-Z]*\$|#"),
        Rule(token=f"[{CURRENCIES}]", action="money"),
        Rule(
            token=rf"{_ACRONYM}\.",
            ahead=rf"{_SPACE_OR_LINE}+(?:{_AFTER_SENTENCE}|{_TAG}){_SPACE_OR_LINE}",
            action="split off period",
        ),
        Rule(token=_BEFORE_NUMBERS, ahead=rf"{_SPACE_OR_LINE}?[{digit}]"),
        Rule(token=_USUALLY_LAST, ahead=".."),
        Rule(token=_USUALLY_LAST),
        Rule(token=rf"{_NEVER_LAST}\."),
        Rule(token=_ACRONYM, ahead=_SPACE_OR_LINE),
        Rule(token=rf"{_APOSTROPHE}[0-9][0-9]", ahead=_SPACE_OR_LINE),
        Rule(token=rf"(?:{alphanumeric}+\.)+{_FILE_ENDING}", ahead=f"(?:{_SPACE_OR_LINE}|[.?!,])"),
        Rule(token=rf"{word}\.", ahead=clause_mark, action="without soft hyphens"),
        Rule(token=_PHONE_SPACED, action="spaces and brackets kept"),
        Rule(token=_PHONE_DOTTED, action="spaces and brackets kept"),
        Rule(token=r"\"|(?ai:&quot;)", action="quote"),
        Rule(token="<|(?ai:&lt;)", action="less"),
        Rule(token=">|(?ai:&gt;)", action="greater"),
        Rule(token=r"[<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]]", ahead="[^A-Za-z0-9]", action="spaces and brackets kept"),
        Rule(
            token=r"[\-\^x=~<>']_[\-\^x=~<>']|\([\-\^x=~<>'][_.]?[\-\^x=~<>']\)|"
            r"\([\^x=~<>']-[\^x=~<>'`]\)",
            action="spaces and brackets kept",
        ),
        Rule(token=r"[{}()\[\]]", action="bracket"),
        Rule(token="-+", action="dash"),
        Rule(token=r"\.{3,5}|(?:\.[ \u00A0]){2,4}\.|[\u0085\u2026]", action="ellipsis"),
        Rule(token=r"@+|#+|_+"),
        Rule(token=r"\*+|(?:\\\*){1,3}"),
        Rule(token=clause_mark),
        Rule(token=r"[?!]+"),
        Rule(token=r"[.=/]"),
        Rule(token=rf"{plain_hyphenated}\.", ahead=clause_mark, action="without soft hyphens"),
        Rule(token=plain_hyphenated, action="without soft hyphens"),
        Rule(token=rf"{hyphenated}\.", ahead=clause_mark),
        Rule(token=hyphenated),
        Rule(token=rf"{joined}\.", ahead=clause_mark, action="ampersand"),
        Rule(token=joined, action="ampersand"),
        Rule(token="'", ahead=r"[A-Za-z][^ \t\n\r\u00A0]", action="quote"),
        Rule(token=short_form, action="quote"),
        Rule(token=rf"''|[{QUOTES}]{{1,2}}|{_APOSTROPHE}", action="quote"),
        Rule(token="<<|>>"),
        Rule(token=f"[{SYMBOLS}]"),
        Rule(token="(?ai:&nbsp;)", action="skip"),
    )
