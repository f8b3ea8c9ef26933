"""Names that are also words ("Will", "Grace", "Kann"), and how an occurrence is told from the word: case and place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from services.common.text.naming import german
from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries

SMALL = "it is written small, and is also a word"
CAPITALS = "it is written in capitals, and is also a word"
OPENS = "it opens a sentence, and is also a word"
THING = "an article or a number stands beside it, and it is also a word"
MONTH = "it may be the month"
PLACE = "a place is named so with the word before it"
SMALL_HERE = "it is written small, where names are not"

_ENGLISH = "en"
GERMAN = "de"
RUSSIAN = "ru"
OTHER = ""
_MARKS_LOOKED_AT = 400  # words at the head of a text by which its language is guessed
_MONTHS = frozenset("april may june august avril mai juin juni juli januar junio julio abril agosto augusta".split())
_SHORT_MONTHS = frozenset("jan feb mar apr jun jul aug sep sept oct okt nov dec dez".split())
_WORD = re.compile(r"[^\W\d_]+")
_ARTICLE = re.compile(
    r"\b(the|an?|this|that|these|those|my|your|our|his|her|its|their|der|die|das|den|dem|des|eine?[nmrs]?|le|la|les"
    r"|une?|el|los|las|il|lo|gli|uno|o|os|as|um|uma)\s+$",
    re.IGNORECASE,
)
# "The Dean", "the new Dean": the title, where a title is what the word is.
_WITH_THE = re.compile(
    r"\bthe\s+(?:(?:new|old|former|next|last|acting|current|late|present|first|second)\s+)?$", re.IGNORECASE
)
# Before a German noun, which is always written with a capital: a determiner, and perhaps an adjective.
_BEFORE_NOUN = re.compile(
    r"\b(?:der|die|das|den|dem|des|(?:k?ein|mein|dein|sein|ihr|unser|eu(?:e?r)|dies|jed|jen|welch|manch|all)(?:e[nmrs]?)?"
    r"|im|am|beim|vom|zum|zur|ins|ans|aufs)\s+(?:[a-zäöüß]+e[nmrs]?\s+)?$",
    re.IGNORECASE,
)
_BEFORE_MONTH = re.compile(
    r"(?:\b(?:in|since|until|till|by|of|this|last|next|every|early|late|mid|from|to|during|through|en|im|seit|bis|de"
    r"|du|ab|before|after|on)|\d(?:st|nd|rd|th)?\.?)\s+$",
    re.IGNORECASE,
)
_NUMBER_AFTER = re.compile(r"\.?\s+\d")
_BEFORE_SHORT_MONTH = re.compile(
    r"(?:\b(?:(?:end|start|beginning|middle) of|in|since|until|till|during|early|late|mid|last|next|im|seit|bis|en)"
    r"|\d(?:st|nd|rd|th)?\.?)\s+$",
    re.IGNORECASE,
)
_NAMES_A_PLACE = re.compile(r"\b(?:San|Santa|Santo|St\.?|Saint|Sankt|Fort|Port|Mount|Mt\.|Lake|Cape)\s+$")
_OPENER = re.compile(r"(?:^|[.!?:;…。！？।؟՞։\n\r]['\"”’»)\]]*)[\s\"“”'‘’«(\[*_#>•–—-]*$")
_ABBREVIATED = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|prof|sr|jr|mme|mlle|hr|fr)|(?<!\w)\w)\.\s*$", re.IGNORECASE)
# What a person did, at the head of a sentence: no verb or noun goes before these.
_DOES = re.compile(
    r"\s+(?:said|says|told|tells|asked|asks|called|calls|rang|phoned|texted|emailed|wrote|writes|came|went|left|thinks"
    r"|thought|wants|wanted|likes|liked|loves|loved|hates|prefers|hopes|wonders|believes|remembers|enjoys|speaks|knows"
    r"|knew|lives|lived|works|worked|sent|met|saw|bought|brought"
    r"|arrived|visited|replied|answered|agreed|laughed|smiled|joined|invited|borrowed|paid|drove|flew|moved"
    r"|and (?:I|me|he|she|his|her|my))\b"
)
# What is said to or of people, without an article before the noun that the word may be.
_ADDRESSED = re.compile(
    r"\b(?:ask|asks|asked|tell|tells|told|call|called|met|meet|saw|invite|invited|email|emailed|text|texted|phone"
    r"|phoned|visit|visited|thank|thanks|hi|hey|hello|dear|bye|(?:talk|spoke|speak)\w* (?:to|with)"
    r"|(?:lunch|dinner|breakfast|coffee|drinks|chat|chatted|met|meeting|walk|went|out|home|live|lives|lived) with)"
    r",?\s+$",
    re.IGNORECASE,
)
_IS = re.compile(r"\s+(?:is|was|has|had|will|can|says?|isn['’]t|wasn['’]t)\b")
# What follows a subject and neither a verb nor a noun: verbs of the past and helping ones, adverbs, another name; and
# what follows a verb of the present.
_ACTS = re.compile(
    r"\s+(?:\w{3,}ed|does|did|would|could|should|must|may|might|won['’]t|can['’]t|didn['’]t|doesn['’]t|never|always|also"
    r"|just|still|often|really|drank|ate|gave|took|made|got|ran|sat|stood|slept|spoke|sang|swam|won|lost|kept|felt|found"
    r"|heard|held|led|read|sent|taught|threw|understood|wore|began|broke|built|chose|drew|fell|forgot|grew|hid|hurt|quit"
    r"|sold|spent|stole|swore|woke|(?:and )?[A-Z][a-z]+|\w+s (?:the|an?|my|your|his|her|our|their|to|me|him|us|them|it"
    r"|in|at|with|for|that))\b"
)
_CALLED = re.compile(r"\s*(?:[,:]|\s[(–—-]|[.!?]+(?:\s|$)|$)")  # it is called to, or stands alone
# What stands before a person and not before a month.
_BESIDE_PERSONS = re.compile(
    r"\b(?:with|hug|hugged|kiss|kissed|lov(?:e|es|ed)|miss|missed|married|helped|help|know|knows|knew|named|called|aunt|uncle"
    r"|sister|brother|cousin|friend|daughter|son|wife|husband|mum|mom|dad|granny|grandma|nurse|dr|mrs?|ms|miss)\.?,?\s+$",
    re.IGNORECASE,
)
_CALLED_TO = re.compile(r",\s+(?:please|can|could|will|would|are|do|did|have|what|when|where|how|who|why|you|my|our)\b")
_OBJECT = re.compile(r"\s+(?:the|an?|my|your|his|our|their|this|that|these|those|it|them|me|us|him|up|out)\b")
_DOES_RUSSIAN = re.compile(
    r"\s+(?:(?:сказал|спросил|ответил|позвонил|написал|приехал|уехал|приш|уш|вы?ш|пообещал|рассказал|попросил|купил"
    r"|принес|пришел|ушел|думал|решил|хотел|жил|работал|ждал|встретил|увидел|заболел|уснул|засмеял)(?:ла|л|ся|ась|а|ел)?"
    r"|говорит|живет|работает|думает|хочет|знает|любит|спрашивает|пишет|придет|приедет|позвонит|и (?:я|он|она|мы))\b",
    re.IGNORECASE,
)
# What is said of persons alone, whatever word stands before it.
_IS_SOMEBODY = re.compile(
    r"(?:\s+(?:is|was|isn['’]t|wasn['’]t)|['’]s)\s+(?:(?:my|your|his|her|our|their|[A-Z]\w+['’]s)\s+(?:[a-z-]+\s+){0,2}?"
    r"(?:sister|brother|mother|father|mum|mom|dad|wife|husband|daughter|son|cousin|aunt|uncle|niece|nephew|grand\w+"
    r"|girlfriend|boyfriend|partner|fianc[eé]e?|friend|neighbou?r|colleague|boss|roommate|flatmate|dog|cat)(?:-in-law)?"
    r"(?=\s*(?:[.,;:!?)]|$)|\s+(?:and|who|but)\b)"
    r"|(?:pregnant|married|engaged|divorced|widowed|retired|vegan|vegetarian|allergic|diabetic|asleep)\b"
    r"|(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?=\s*(?:[.,;!?)]|$)|\s+years? old\b))"
)
_MINE = re.compile(r"\b(?:my|our|your|his|her|their)\s+$", re.IGNORECASE)
# What time, weather and plants do, of which it is said in a person's words, too.
_TIMES_DO = re.compile(
    r"\s+(?:(?:has|had|is|was|will|would)\s+)?(?:broke|breaks?|broken|came|comes?|coming|fell|falls?|began|begins?"
    r"|begun|starts?|started|ended|ends?|arrived|arrives?|arriving|passed|passes|turned|turns|brought|brings|went|light"
    r"|over|near|here|cold|warm|wet|hot|dry|approached|approaches|rose|found|saw|always)\b"
)
_PLANTS_DO = re.compile(
    r"\s+(?:(?:has|had|is|was|will|would)\s+(?:\w+ly\s+)?)?(?:cover(?:s|ed|ing)?|gr[eo]ws?|grown|growing|spread"
    r"|climb(?:s|ed|ing)?|bloom(?:s|ed|ing)?|smell(?:s|ed)?|fell|falls?|die[sd]?|fill(?:s|ed)?|surround(?:s|ed)?|hung"
    r"|lay|lies|lined?|lines|needs?|wither(?:s|ed)?|flower(?:s|ed)|turn(?:s|ed)?|blue|green|red|white|yellow|purple"
    r"|sweet|prickly|evergreen|poisonous|made|melt(?:s|ed)?|sparkle[sd]?|shone|drift(?:s|ed)?|formed|rolled|settled"
    r"|flow(?:s|ed)?|rose|blow[ns]?|blew|burn(?:s|ed)?|broke|crumble[sd]?|and [a-z]+)\b"
)
# What a flower, a gem, a virtue is, of whose names one is a person's, too; and what is done to plants.
_IS_A_THING = re.compile(
    r"(?:\s+(?:is|was|are|were)|['’]s)\s+(?:(?:not\s+)?(?:an?|the|my|our|his|her|one of(?: the)?)\s+"
    r"(?:[a-z-]+\s+){0,3}?"
    r"(?:flowers?|plants?|trees?|shrubs?|bush|bushes|herbs?|climbers?|spices?|colou?rs?|scents?|perfumes?|wood|fruits?"
    r"|vegetables?|gems?|gemstones?|jewels?|stones?|metals?|minerals?|virtues?|feelings?|emotions?|birds?|months?"
    r"|resins?|seasons?|words?|languages?)"
    r"(?=\s*(?:[.,;:!?)]|$)|\s+(?:of|in|that|which|from|with|and|but|by|for|on|at|to|as|I|we|you)\b)"
    r"|(?:being\s+)?(?:planted|pruned|sown|watered|harvested|transplanted|repotted|fertili[sz]ed"
    r"|in (?:full )?(?:bloom|flower|blossom))\b)"
)
# Behind a word with a capital: no noun that it goes with.
_NO_NOUN = re.compile(
    r"\s+(?:and|or|but|nor|in|on|at|for|with|from|of|to|as|by|who|whom|whose|that|when|while|because|about|before"
    r"|after|until|since|if|into|over|under|up|down|out|off|back|away|again|too|there|here|now|then|today|tonight"
    r"|tomorrow|yesterday|not|so|than|like|the|an?|my|your|his|her|our|their|this|these|me|him|us|them|it|i|you|he|she"
    r"|we|they|are|were|be|been|last|next|once|twice|came|comes|went|goes|left|leaves|takes|makes|gets|runs|plays|sits"
    r"|sings|lives|looks|seems|feels|gave|\w+s (?:well|there|here|it))\b"
)
_ARTICLE_NEAR = re.compile(r"\b(?:an?|the|no|every|many|some)\s+(?:[a-z]+\s+)?$")
_SMALL_NEXT = re.compile(r"\s+[a-z]{2,}")
_LOOK_BACK = 32
_LEAST_WORDS = 4  # of a text whose language is none of ours


@dataclass(frozen=True, slots=True)
class _Lexicon:
    words: Mapping[str, frozenset[str]]  # by language: told from a name by a capital
    openers: Mapping[str, frozenset[str]]  # and not even so at the head of a sentence
    nouns: Mapping[str, frozenset[str]]  # of a language that writes its nouns with a capital: told by what goes before
    proper: Mapping[str, frozenset[str]]  # written with a capital as words, too
    times: Mapping[str, frozenset[str]]
    plants: Mapping[str, frozenset[str]]
    rare: Mapping[str, frozenset[str]]  # a word where it is written small, and seldom meant by that
    marks: Mapping[str, frozenset[str]]


@cache
def _lexicon() -> _Lexicon:
    names = ("word", "opener", "noun", "proper", "time", "plant", "rare", "marks")
    kinds: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in names}
    for line in entries("words.txt"):
        language, kind, words = line.split(" ", 2)
        kinds[kind][language].update(map(folded, words.split()) if kind != "marks" else words.split())
    frozen = {kind: {lang: frozenset(words) for lang, words in of.items()} for kind, of in kinds.items()}
    return _Lexicon(*(frozen[kind] for kind in names))


def may_be_words(name: Sequence[str]) -> bool:
    """Whether each word of a folded name is one in some language."""
    return bool(name) and all(word in _every_word() for word in name)


@cache
def _every_word() -> frozenset[str]:
    lexicon = _lexicon()
    kinds = (lexicon.words, lexicon.openers, lexicon.nouns, lexicon.rare, lexicon.proper, lexicon.times, lexicon.plants)
    return _MONTHS.union(_SHORT_MONTHS, *(words for kind in kinds for words in kind.values()))


def language(text: str) -> str:
    """The language, of those in the lexicon, with the most of its small words in a text; English before others, and
    OTHER where a text of some length has none of them."""
    marks = _lexicon().marks
    said = [m.group().lower() for m, _ in zip(_WORD.finditer(text), range(_MARKS_LOOKED_AT), strict=False)]
    counts = {lang: sum(word in words for word in said) for lang, words in marks.items()}
    if len(said) >= _LEAST_WORDS and not any(counts.values()):
        return OTHER
    return max(sorted(counts), key=lambda lang: (counts[lang], lang == _ENGLISH))


def is_english(text: str) -> bool:
    """Whether nothing says that a text is of another language."""
    return language(text) == _ENGLISH


def doubt(name: Sequence[str], text: str, start: int, end: int, spoken: str) -> str:
    """Why what stands there may be the word and not the name; "" where it is the name.

    ``name``: its folded words. ``spoken``: the ``language`` of the text.
    """
    if spoken == _ENGLISH and len(name) == 1 and (said := _english_doubt(name[0], text, start, end)):
        return said
    lexicon = _lexicon()
    words = lexicon.words.get(spoken or _ENGLISH, frozenset()) | _MONTHS
    openers = lexicon.openers.get(spoken or _ENGLISH, frozenset())
    written = text[start:end]
    head = _head(text, start)
    is_short_month = len(name) == 1 and name[0] in _SHORT_MONTHS
    if is_short_month and (_NUMBER_AFTER.match(text, end) or _BEFORE_SHORT_MONTH.search(head)):
        return MONTH
    if len(name) == 1 and name[0] in lexicon.nouns.get(spoken, ()):
        return SMALL if not written[:1].isupper() else _noun_doubt(text, start, end, spoken)
    if not all(word in words or word in openers for word in name):
        is_rare = len(name) == 1 and name[0] in lexicon.rare.get(spoken or _ENGLISH, ())
        return _rare_doubt(text, start, end, spoken) if is_rare else ""
    initials = [part[0] for part in written.split()]
    if not all(c.isupper() for c in initials):
        return SMALL
    if len(name) > 1:
        return "" if not written.isupper() else CAPITALS
    if written.isupper() and len(written) > 1:
        return CAPITALS
    if name[0] in _MONTHS and _may_be_month(text, start, end, spoken):
        return MONTH
    article = None if _is_said_of_mine(text, start, end, spoken) else _ARTICLE.search(head)
    if article and (spoken == _ENGLISH or article.group(1).lower() != "a"):
        return THING
    if owns(text, end) or _acts(text, end, spoken) or not opens_sentence(text, start):
        return ""
    if name[0] in _MONTHS and name[0] not in openers:
        return MONTH
    return OPENS if name[0] in openers or _opens_as_word(text, end, spoken) else ""


def _noun_doubt(text: str, start: int, end: int, spoken: str) -> str:
    """The doubt about a name with a capital that is a noun of a language which writes nouns so."""
    if _BEFORE_NOUN.search(_head(text, start)):
        return THING
    is_said = owns(text, end) or _acts(text, end, spoken) or not opens_sentence(text, start)
    return "" if is_said else OPENS


def _rare_doubt(text: str, start: int, end: int, spoken: str) -> str:
    """The doubt about a name that is seldom a word."""
    if not text[start : start + 1].isupper():
        return "" if is_spoken_of(text, start, end) else SMALL
    if spoken == _ENGLISH and _WITH_THE.search(_head(text, start)):
        return THING
    if owns(text, end) or _acts(text, end, spoken) or not opens_sentence(text, start):
        return ""
    return OPENS if _OBJECT.match(text, end) or _opens_as_word(text, end, spoken) else ""


def _english_doubt(word: str, text: str, start: int, end: int) -> str:
    """The doubt about a name with a capital that is an adjective, a time, a plant: by what is said of it."""
    if not text[start : start + 1].isupper():
        return ""
    lexicon = _lexicon()
    if word in lexicon.proper.get(_ENGLISH, ()) and (
        _ARTICLE_NEAR.search(_head(text, start)) or _goes_with_noun(text, end)
    ):
        return THING
    does = [(lexicon.times, _TIMES_DO), (lexicon.plants, _PLANTS_DO)]
    is_said = any(word in of.get(_ENGLISH, ()) and pattern.match(text, end) for of, pattern in does)
    is_said = is_said or (word in _every_word() and _IS_A_THING.match(text, end) is not None)
    return OPENS if is_said and opens_sentence(text, start) else ""


def _may_be_month(text: str, start: int, end: int, spoken: str) -> bool:
    """Whether it stands as months do; in English, whether nothing beside it stands beside persons alone: "asked June",
    "June Carter"."""
    head = _head(text, start)
    if _BEFORE_MONTH.search(head) or _NUMBER_AFTER.match(text, end):
        return True
    if spoken not in (_ENGLISH, OTHER) or owns(text, end) or _acts(text, end, _ENGLISH):
        return False
    before = _ADDRESSED.search(head) or _BESIDE_PERSONS.search(head)
    return not (before or _ACTS.match(text, end) or _CALLED_TO.match(text, end))


def _is_said_of_mine(text: str, start: int, end: int, spoken: str) -> bool:
    """ "My Grace is two." """
    return spoken == _ENGLISH and bool(_MINE.search(_head(text, start)) and _IS_SOMEBODY.match(text, end))


def _goes_with_noun(text: str, end: int) -> bool:
    if _SMALL_NEXT.match(text, end) is None:
        return False
    return not any(pattern.match(text, end) for pattern in (_NO_NOUN, _DOES, _IS, _ACTS))


def _acts(text: str, end: int, spoken: str) -> bool:
    """Whether a verb follows that persons are the subject of, or what is said of persons alone."""
    if spoken == _ENGLISH and _IS_SOMEBODY.match(text, end):
        return True
    does = {_ENGLISH: _DOES, RUSSIAN: _DOES_RUSSIAN, GERMAN: german.DOES}.get(spoken)
    return does is not None and does.match(text, end) is not None


def _opens_as_word(text: str, end: int, spoken: str) -> bool:
    """Whether nothing tells a name that is seldom meant as a word from the word, at the head of a sentence."""
    if spoken == RUSSIAN:
        return True
    if spoken != _ENGLISH:
        return False
    return not any(pattern.match(text, end) for pattern in (_CALLED, _IS, _ACTS))


def names_a_place(text: str, start: int) -> bool:
    """Whether what stands before a name makes it a place: "San Diego", "St. Louis"."""
    return _NAMES_A_PLACE.search(_head(text, start)) is not None


def _head(text: str, start: int) -> str:
    return text[max(0, start - _LOOK_BACK) : start]


def is_spoken_of(text: str, start: int, end: int) -> bool:
    """Whether a small word stands as only a person's name does: addressed, owning, or acting without an article."""
    if owns(text, end) or _ADDRESSED.search(_head(text, start)):
        return True
    return _DOES.match(text, end) is not None or (_IS.match(text, end) is not None and opens_sentence(text, start))


def opens_sentence(text: str, start: int) -> bool:
    head = _head(text, start)
    if start > _LOOK_BACK:
        head = "x" + head  # what is cut off was not the beginning
    return _OPENER.search(head) is not None and _ABBREVIATED.search(head) is None


def does(text: str, end: int) -> bool:
    """Whether an English verb follows that persons are the subject of."""
    return _DOES.match(text, end) is not None


def owns(text: str, end: int) -> bool:
    """Whether a possessive follows: a verb has none."""
    return text[end : end + 1] in ("'", "’") and text[end + 1 : end + 2].lower() == "s"
