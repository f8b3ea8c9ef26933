"""Names between or inside markup, escapes and the like: (name, text). Who reads what is shown reads the name."""

from __future__ import annotations


def _misread(text: str, page: str, times: int = 1) -> str:
    """A text whose UTF-8 was taken for a code page; what that has no letter for is a control character."""
    for _ in range(times):
        letters = (bytes([byte]).decode(page, "replace").replace("\ufffd", chr(byte)) for byte in text.encode())
        text = "".join(letters)
    return text


SHOWN = [
    # What terminals are told.
    ("Petra Kovacs", "log: \x1b[1mPetra\x1b[0m \x1b[1mKovacs\x1b[0m logged in"),
    ("Petra Kovacs", "log: \x1b[38;5;208mPetra\x1b[0m\x1b[1mKovacs\x1b[0m logged in"),
    ("Petra", "I saw \x1b[31mPe\x1b[0mtra today"),
    ("Müller", "gestern war \x9b1mMüller\x9b0m hier"),
    ("Ruth Fenwick", "by \x1b]8;;https://h.example/x\x1b\\Ruth\x1b]8;;\x1b\\ \x1b]8;;https://h.example/y\x07Fenwick\x1b]8;;\x07"),
    ("Petra Kovacs", "it says [1mPetra[0m [1;31mKovacs[0m, in a log that lost its escapes"),
    ("Пётр", "вчера \x1b[1mПётр\x1b[0m звонил"),
    ("Petra Kovacs", "P\bPe\bet\btr\bra\ba K\bKo\bov\bva\bac\bcs\bs(1)"),
    ("Petra Kovacs", "it says ^[[1mPetra^[[0m ^[[1mKovacs^[[0m, as an editor shows it"),
    ("Petra Kovacs", "<nick> \x0304Petra\x03 \x034,12Kovacs\x03 joined"),
    ("Petra Kovacs", "I saw Petra\x00Kovacs here"),
    ("Petra Kovacs", "I saw Pe\x07tra\x01 Kovacs here"),
    ("Petra Kovacs", "I saw Petra\ufffa \ufff9Kovacs here"),
    # Marks that are drawn round letters.
    ("Petra Kovacs", "I saw Pe\u20ddtra Kovacs today."),
    ("Petra Kovacs", "I met \u20dePetra\u20de Kov\u20deacs\u20de there"),
    ("Will", "I met W\u20e3ill at home"),
    ("Müller", "Herr M\u20e3üller kam"),
    ("Müller", "Herr M\u0336ü\u0336l\u0336l\u0336e\u0336r kam"),
    ("Пётр", "вчера П\u0488ётр звонил"),
    # Tags.
    ("Petra Kovacs", "<p>I saw <b>Petra</b> <i>Kovacs</i> today"),
    ("Petra Kovacs", "<tr><td>Petra</td><td>Kovacs</td></tr>"),
    ("Petra Kovacs", '<td class="first name">Petra</td>\n<td\nstyle="color: red">Kovacs</td>'),
    ("Petra Kovacs", "I saw Pe<wbr>tra<!-- who else --> Ko<span>v</span>acs"),
    ("Ruth Fenwick", "by [b]Ruth[/b] [color=red]Fenwick[/color]."),
    # Signs of emphasis, and of links.
    ("Petra Kovacs", "I saw **Petra** **Kovacs** there"),
    ("Petra Kovacs", "I saw ~~Petra~~ __Kovacs__ there"),
    ("Petra Kovacs", "I saw ~Petra~ ~Kovacs~ there"),
    ("Petra Kovacs", "I saw `Petra` `Kovacs` there"),
    ("Petra Kovacs", "I saw **Pet**ra *Kov*acs there"),
    ("Petra Kovacs", "ask [Petra](https://h.example/p) [Kovacs](https://h.example/k)"),
    ("Petra Kovacs", r"by \textbf{Petra} \emph{Kovacs}"),
    ("Νίκος Παππάς", "είδα τον **Νίκος** **Παππάς** χθες"),
    # What programs write for letters.
    ("Petra Kovacs", r'{"log":"hello\nPetra Kovacs came"}'),
    ("Petra Kovacs", r'{"log":"hello\tPetra\tKovacs came"}'),
    ("Petra Kovacs", r'{"log":"\u003cb\u003ePetra\u003c/b\u003e Kovacs"}'),
    ("Petra Kovacs", r'{"log":"{\"said\":\"x\\nPetra Kovacs\"}"}'),
    ("Petra Kovacs", r'{"log":"\u001b[1mPetra\u001b[0m \u001b[1mKovacs\u001b[0m"}'),
    ("Petra Kovacs", r"echo -e '\033[1mPetra\033[0m \e[1mKovacs\e[0m'"),
    ("Müller", r'{"name":"M\u00fcller"}'),
    ("Müller", r'{"name":"{\"name\":\"M\\u00fcller\"}"}'),
    ("Müller", r"b'M\xc3\xbcller'"),
    ("Müller", r"'M\xfcller'"),
    ("Müller", r'"M\303\274ller.txt"'),
    ("Müller", r"M\u{fc}ller"),
    ("Пётр", r'{"name":"\u041f\u0451\u0442\u0440"}'),
    ("Petra", r'{"name":"\ud835\udc0fetra"}'),
    ("Petra Kovacs", "GET /q?name=Petra%20Kovacs&x=1"),
    ("Petra Kovacs", "GET /q?name=Petra%2520Kovacs&x=1"),
    ("Petra Kovacs", "GET /q?name=Petra+Kovacs&x=1"),
    ("Müller", "GET /M%C3%BCller/x"),
    ("Müller", "GET /M%FCller/x"),
    ("Müller", "Subject: Herr M=C3=BCller"),
    ("李娜", "GET /%E6%9D%8E%E5%A8%9C/x"),
    ("Müller", "Herr M&uuml;ller kam"),
    ("Müller", "Herr M&#252;ller kam"),
    ("Müller", "Herr M&#xFC;ller kam"),
    ("Müller", "Herr M&amp;uuml;ller kam"),
    ("Petra Kovacs", "I saw Petra&nbsp;Kovacs"),
    ("Petra Kovacs", "&lt;b&gt;Petra&lt;/b&gt; &lt;i&gt;Kovacs&lt;/i&gt;"),
    ("Müller", "GET /M%u00FCller/x"),
    ("Müller", "Subject: Herr M=c3=bcller"),
    # Names of hosts.
    ("Müller", "write to mail@xn--mller-kva.example today"),
    ("Müller", "https://XN--MLLER-KVA.example/x"),
    ("Peter Müller", "see peter.xn--mller-kva@post.example"),
    ("Пётр", "почта: info@xn--o1acf3d.example"),
    # TeX, and as a string of JSON has it.
    ("Müller", r'author = {M{\"u}ller, Hans}'),
    ("Müller", r'Herr M\"uller und M\"{u}nch'),
    ("Müller", r'{"author": "M{\\\"u}ller"}'),
    ("José", r"I saw Jos\'e there"),
    ("García", r"I saw Garc\'{\i}a there"),
    ("García", r"I saw Garc{\'\i}a there"),
    ("François", r"vu Fran\c{c}ois hier"),
    ("François", r"vu Fran{\c c}ois hier"),
    ("François", r"vu Fran\c cois hier"),
    ("Strauß", r"Herr Strau{\ss} kam"),
    ("Strauß", r"Herr Strau\ss{} kam"),
    ("Håkan", r"I met H\aa kan there"),
    ("Erdős", r"by Erd\H{o}s, in 1950"),
    ("Petra Kovač", r"by Petra Kova{\v c}"),
    ("Škvorecký", r"by \v{S}kvoreck\'y"),
    # Signs that stand for letters.
    ("Petra", "I saw 🅟🅔🅣🅡🅐 there"),
    ("Petra", "I saw 🅿🅴🆃🆁🅰 there"),
    ("Petra", "I saw 🇵🇪🇹🇷🇦 there"),
    ("Petra", "Hello!\U000e0050\U000e0065\U000e0074\U000e0072\U000e0061"),
]  # fmt: skip

# UTF-8 taken for a code page, also more than once.
MISREAD = [
    *(("Müller", _misread("“Müller” – naïve", page, times)) for page in ("latin-1", "cp1252") for times in (1, 2, 3)),
    *(("François Dupont", _misread("vu François Dupont", page)) for page in ("cp1250", "mac_roman", "cp437", "cp850")),
    *(("Пётр", _misread("вчера Пётр звонил", page)) for page in ("latin-1", "cp1252", "cp1251", "mac_roman", "cp437")),
    ("Łukasz", _misread("Łukasz rang.", "cp1250")),
    ("Νίκος", _misread("είδα τον Νίκος", "cp1253")),
    ("خالد", _misread("قابلت خالد أمس", "cp1256")),
    ("李娜", _misread("来自 李娜", "cp1252")),
    ("İbrahim", _misread("İbrahim geldi", "cp1254")),
    ("Müller", "I saw MÃ¼ller and naïve Zoë – “twice”."),
    ("Müller", "<b>MÃ¼</b>ller rang"),
    ("Müller", "Herr M&Atilde;&frac14;ller kam"),
    ("Müller", "GET /M%C3%83%C2%BCller"),
    ("García", "I saw GarcÃ\xada there"),
    ("García", "I saw GarcÃa there"),  # the soft hyphen is lost
    ("Škoda", "Å koda rang."),  # the space that does not break is kept as another
]  # fmt: skip
SHOWN += MISREAD

# What holds no name, however it is read: (name, text).
OTHERS = [
    ("Tom", "<td>mor</td><td>tomorrow</td>"),
    ("Ann", r"C:\new\annals\table"),
    ("Li", "We flew to 🇱🇮 and 🇨🇭."),
    ("Nina", "🇳🇮🇳🇦"),
    ("Ann", "x = p*annual + 3 & q"),
    ("Ann", "It is 100%, and [1] says 5 < 6 > 3."),
    ("Kov", "&kovx; and %KO"),
    ("Ann", "xn--annual-99999999999, xn--anna and xn--"),
    ("Miller", "MÃ©ller, MÃ¼ller and M\ufffdller"),
    ("Ruth", r"it\'s \"rut\" h, \rut and C:\rutha"),
]
