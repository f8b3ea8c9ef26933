"""How words are bounded in each script: by what may be written onto a name, and by what makes it another word.

Edges are those of UAX #29 where a script separates words, less that ``_`` and digits bound a name too (handles).
What is written onto names without a space - particles, prefixes, case endings - is a closed list for each script, so
that "박지민이" names 박지민 and "सीतापुर" does not name सीता.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from services.common.text.naming.folding import folded

# Scripts that separate no words.
UNSPACED = frozenset({"HAN", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})
CASED = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"})
# Vowels of Thai and Lao that are written as letters: before the consonant they follow in speech, or after it.
LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")
FOLLOWING_VOWELS = frozenset("ะาำๅະາຳຽ")
# Malayalam consonants without a vowel, and the same before one.
_CHILLU = {"\u0d7a": "\u0d23", "\u0d7b": "\u0d28", "\u0d7c": "\u0d30", "\u0d7d": "\u0d32", "\u0d7e": "\u0d33"}
_VIRAMAS = frozenset("\u17d2\u1039")  # what follows is written under what precedes
_NAMES = {"CJK": "HAN", "IDEOGRAPHIC": "HAN", "KATAKANA-HIRAGANA": "KATAKANA", "HALFWIDTH": "KATAKANA"}


@lru_cache(maxsize=65_536)
def script(c: str) -> str:
    """The script of a letter, mark or digit by its Unicode name; "" for what bounds every word."""
    category = unicodedata.category(c)[0]
    if category == "N":
        return "DIGIT"
    if category not in "LM":
        return ""
    first = unicodedata.name(c, "").split(" ")[0]
    return _NAMES.get(first, first)


def inside_cluster(text: str, at: int) -> bool:
    """Whether what stands at ``at`` belongs to the same written syllable as what stands before it."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if unicodedata.category(after)[0] == "M" or after in FOLLOWING_VOWELS:
        return True
    return before in LEADING_VOWELS or before in _VIRAMAS or _closes(text, at)


def _closes(text: str, at: int) -> bool:
    """Whether a Myanmar consonant that closes the syllable before it stands there (one with an asat)."""
    return text[at + 1 : at + 2] == "\u103a" and script(text[at]) == "MYANMAR"


def _set(words: str) -> frozenset[str]:
    return frozenset(map(folded, words.split()))


# --- what may stand after a name, without a space -------------------------------------------------------------------

_DEVANAGARI = """ने ला चा ची चे च्या ना नी शी हून वर त स मध्ये साठी पासून कडे ले लाई को का की के बाट सँग मा हरू जी भाई बाई ताई
दीदी राव साहब साहेब द्वारा से में पर ही भी तो"""
_BENGALI = "কে র ের এর রা দের য় তে ই ও টা দা দি কেও কেই রই রও বাবু জি ভাই আপা ের ের'ই"
_GUJARATI = "ને નો ની નું ના થી માં એ ભાઈ બેન બહેન જી"
_GURMUKHI = "ਜੀ ਨੇ ਨੂੰ ਦਾ ਦੀ ਦੇ"
_ORIYA = "କୁ ର ଙ୍କ ଙ୍କୁ ଙ୍କର ରେ ଠାରୁ ଜୀ"
_TAMIL = """ை ால் ிடம் ுக்கு ின் ுடன் ோடு ும் க்கு வுக்கு வின் வை வால் வுடன் விடம் வும் யை யின் யிடம் யுடன் யால் யும் னை னுக்கு"""
_TELUGU = "ికి ిని ితో ి కి కు ని ను తో లో యొక్క గారు గారి గారికి కోసం వల్ల కూడా ే ా"
_KANNADA = "ಗೆ ನ ನಿಗೆ ನನ್ನು ಯ ಯನ್ನು ಳ ಳಿಗೆ ಳನ್ನು ಅವರು ರವರು ಿಗೆ ಿನ ನು ಳು ೂ ವಿನ ವಿಗೆ ವನ್ನು ವಿಂದ ವೂ"
_MALAYALAM = """ന്റെ യുടെ ക്ക് നെ യെ ും യും നോട് യോട് ിന്റെ ിനെ ിന് ിനോട് ുടെ യ്ക്ക് നും നോ
വിന്റെ വിനെ വിന് വിനോട് വിനും വും വാണ് വിൽ വിനാൽ യാണ് യിൽ ാണ് ിൽ ിനും െ ് ോട് ്റെ"""
_SINHALA = "ට ගේ ව ගෙන් යි ත් ටත් ගෙ"
_ARABIC = "ا ها هاي را م ت ش جان جون"  # the tanwin's alif; Persian plural, object and owners
_AFTER_VOWEL = frozenset(map(folded, "ی یی یم یت یش ست ام ات اش ای".split()))  # the ezafe and owners, after a, o and e
_GEORGIAN = "მა მ ს ის ისა თი ით ითა ად ო ც სთან ისთვის სთვის ისგან ზე იც"
_ARMENIAN = "ը ն ս ի ին ից ով ում ի՞ն յի յին յից յով յում"
_ETHIOPIC = "ን ም ና ስ ንም"
_SUFFIXES = {
    "DEVANAGARI": _set(_DEVANAGARI),
    "BENGALI": _set(_BENGALI),
    "GUJARATI": _set(_GUJARATI),
    "GURMUKHI": _set(_GURMUKHI),
    "ORIYA": _set(_ORIYA),
    "TAMIL": _set(_TAMIL),
    "TELUGU": _set(_TELUGU),
    "KANNADA": _set(_KANNADA),
    "MALAYALAM": _set(_MALAYALAM),
    "SINHALA": _set(_SINHALA),
    "ARABIC": _set(_ARABIC),
    "GEORGIAN": _set(_GEORGIAN),
    "ARMENIAN": _set(_ARMENIAN),
    "ETHIOPIC": _set(_ETHIOPIC),
}
# Endings of European languages. English writes none, so they make a name doubtful; and a German genitive is also the
# next surname ("Adams").
_LATIN = _set(
    """s es a u y i e o em om ovi owi ie ę ą ů ou ej ě ii ia ei n en in ns ssa stä lla lle lta sta ni t et nek nak
    nin nun un ye ya yi yu de da den dan le la yle yla ler lar ban val vel ra re ról
    hoz tól nál ben l al ja je ów ui ului"""
)
LATIN_ENDINGS = _LATIN

_PARTICLE = (
    "이가 이는 이를 이의 이와 이랑 이도 이만 이가 이야 이에게 이한테 이예요 이에요 이네 이라고 이고 이나 이 "
    "가 은 는 을 를 의 에게서 에게 에 한테서 한테 께서 께 와 과 랑 도 만 까지 부터 로 으로 야 아 "
    "하고 처럼 보다 마다 조차 마저 라고 라는 라며 라면 라서 입니다 예요 "
    "에요 네 요 였다 이다 다 여 이여 나 든 뿐 밖에 에서 만큼 같이"
)
_HONORIFIC = (
    "선생님 선생 교수님 교수 부장님 부장 과장님 과장 대리님 대리 팀장님 팀장 사장님 사장 대표님 대표 박사님 "
    "박사 기자 의원 씨 님 군 양 형 누나 언니 오빠 아저씨 아줌마 할머니 할아버지 엄마 아빠 이모 삼촌 선배 후배 들 네"
)


def _choice(words: str) -> str:
    return "|".join(sorted(map(re.escape, words.split()), key=len, reverse=True))


_KOREAN = re.compile(rf"(?:{_choice(_HONORIFIC)})?(?:{_choice(_HONORIFIC)})?(?:{_choice(_PARTICLE)}){{0,3}}")
SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진나지엄채원천방공현함변염여추도소석선설마길연위표명기반왕금옥육인맹제모탁국"
)

_HIRAGANA = re.compile(
    "さん|ちゃん|くん|さま|たん|せんせい|は|が|を|に|の|と|も|で|へ|や|か|から|まで|より|って|だ|です|ね|よ|な"
)
_HIRAGANA_PARTICLES = frozenset("はがをにのともでへやか")
_HAN_HONORIFIC = re.compile(
    "先生|女士|小姐|老师|老師|同学|同學|经理|經理|主任|医生|醫生|教授|阿姨|叔叔|さん|ちゃん|くん|さま|せんせい|[氏君様殿总總哥姐嬢妈媽爸爷爺奶]"
)
_HAN_PLACES = re.compile(
    "[市区區县縣町村州省街镇鎮乡鄉寺川河山島岛湖駅港桥橋郡]|路(?![过過上])|[车車]站|公[园園]|[大中小][学學]|[医醫]院"
)
_THAI_TITLES = ("คุณ", "นาย", "นาง", "นางสาว", "พี่", "น้อง", "ครู", "ป้า", "ลุง", "เจ้า", "ท้าว", "ทิด")
_LONG_ENOUGH = 4  # letters of a name that hardly another word holds, where no word is set apart

# --- what may stand before a name, without a space ------------------------------------------------------------------

_PREFIXES = {
    "ARABIC": re.compile("[وف]?[بلكسأ]?|و?لل"),
    "HEBREW": re.compile("ו?(?:כש|מש|לכש|ש)?[בכלמה]?"),
    "ETHIOPIC": re.compile("[ለበከየስእወ]"),
}
_ARTICLES = re.compile("[وف]?[بك]?ال|[وف]?لل")

_NOT = re.compile(r"['’]t(?!\w)")

# --- doubts -----------------------------------------------------------------------------------------------------------

GOES_ON = "the word goes on after the name"
IN_A_RUN = "it is short, and stands in a run of letters that no space divides"
ONE_CHARACTER = "it is one character, and may be the word"
A_PLACE = "a place may be named so"
AN_ARTICLE = "an article is written onto it"


def before(text: str, start: int) -> str | None:
    """Whether a name that begins at ``start`` of a folded text begins there: "" (surely), a doubt, or None (no)."""
    if inside_cluster(text, start):
        return None
    here, there = script(text[start]), script(text[start - 1]) if start else ""
    if there != here:
        return ""
    run = _run_back(text, start, here)
    match here:
        case "HAN" | "THAI" | "LAO" | "KHMER" | "MYANMAR":
            return ""  # the other side and the length decide
        case "HIRAGANA":
            return "" if text[start - 1] in _HIRAGANA_PARTICLES else IN_A_RUN
        case "HANGUL":
            return "" if len(run) == 1 and run in SURNAMES else IN_A_RUN
        case "ARABIC" | "HEBREW" | "ETHIOPIC":
            if _PREFIXES[here].fullmatch(run):
                return ""
            return AN_ARTICLE if here == "ARABIC" and _ARTICLES.fullmatch(run) else None
    return None


def after(text: str, start: int, end: int) -> str | None:
    """As ``before``, of a name that stands at ``start`` to ``end``, and its end."""
    here = script(text[end - 1])
    there = script(text[end]) if end < len(text) else ""
    if here in UNSPACED:
        return _after_unspaced(text, start, end, here, there)
    if here == "LATIN" and _NOT.match(text, end):
        return None  # "Don't": no name owns a t
    if there != here or here == "DIGIT":
        return "" if not inside_cluster(text, end) else None
    rest = _run(text, end, here)
    if here == "HANGUL":
        return "" if _KOREAN.fullmatch(rest) else GOES_ON
    if here in ("CYRILLIC", "GREEK"):
        return None  # cases are found by ``phrases``
    if here == "LATIN":
        return GOES_ON if rest in LATIN_ENDINGS else None
    if here == "ARABIC" and text[end - 1] in "اوه" and rest in _AFTER_VOWEL:
        return ""
    return "" if rest in _SUFFIXES.get(here, ()) else None


def stems(name: str) -> list[str]:
    """What of a folded name stays when an ending takes the place of its own: nothing, or one form."""
    last = script(name[-1])
    if len(name) < 2 or any(script(c) != last for c in name[-3:]):
        return []  # nothing would stay, or no word of that script
    if last == "TAMIL" and name[-1] == "\u0bcd":
        return [name[:-1]]
    if last in ("KANNADA", "MALAYALAM", "TELUGU") and name[-1] in "\u0ccd\u0d4d\u0c4d":
        return [name[:-1]]
    if last == "TELUGU" and name[-1] == "\u0c41":
        return [name[:-1]]
    if last == "MALAYALAM" and name[-1] in _CHILLU:
        return [name[:-1] + _CHILLU[name[-1]]]
    if last == "GEORGIAN" and name[-1] == "ი":
        return [name[:-1]]
    return []


def declined(text: str, end: int) -> str | None:
    """As ``after``, where the stem of a name ends at ``end``: whether an ending that the name takes follows."""
    here = script(text[end - 1])
    return "" if _run(text, end, here) in _SUFFIXES[here] else None


def _after_unspaced(text: str, start: int, end: int, here: str, there: str) -> str | None:
    if inside_cluster(text, end):
        return None
    length = sum(script(c) == here for c in text[start:end])
    rest = text[end : end + 8]
    alone = there != here and (start == 0 or script(text[start - 1]) != here)
    if here == "HAN":
        if _HAN_HONORIFIC.match(rest):
            return ""
        if _HAN_PLACES.match(rest):
            return A_PLACE
        if length > 1 or (start == 0 and end == len(text)):
            return ""
        return ONE_CHARACTER if alone else IN_A_RUN
    if here == "HIRAGANA":
        return "" if there != here or _HIRAGANA.match(rest) else GOES_ON
    if here == "KATAKANA":
        return "" if there != here else None
    if alone or length >= _LONG_ENOUGH or text[:start].endswith(_THAI_TITLES):
        return ""
    return IN_A_RUN


def _run(text: str, at: int, of: str) -> str:
    """What of one script follows; a word longer than this is no name with an ending."""
    end = at
    while end < len(text) and end - at < 24 and script(text[end]) == of:
        end += 1
    return text[at:end]


def _run_back(text: str, at: int, of: str) -> str:
    start = at
    while start > 0 and at - start < 8 and script(text[start - 1]) == of:
        start -= 1
    return text[start:at]
