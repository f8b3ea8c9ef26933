"""Function words by language: articles, pronouns, prepositions, conjunctions, auxiliaries, question words.

They do two things: they tell the language of a text (a few of them stand in nearly every sentence), and they are left
out of its terms. Closed classes only, and kept small: what is listed here cannot be searched for in that language. The
collections that packages carry are ten times as long and hold names of things ("città", "घर").
"""

from __future__ import annotations

# By group: languages that share a script, of which a text is given one. The first of a group wins a tie.
_LATIN = {
    # Words that occur in almost any text and name nothing.
    "en": """a about after all also am an and any are as at be because been before being but by ca can could did do
        does doing for from had has have having he her here hers him his how i if in into is it its just me more
        most my no nor not of off on once only or other our ours out over own re she should so some such than that
        the their theirs them then there these they this those through to too under until up very was we were what
        when where which while who whom whose why will with wo would you your yours""",
    "de": """aber alle als am an auch auf aus bei bin bis bist da damit dann das dass dein deine dem den der des
        dich die dies diese dieser dieses dir doch du durch ein eine einem einen einer eines er es euch euer für hab
        habe haben hast hat hatte hatten ich ihm ihn ihnen ihr ihre ihrem ihren im in ist ja kann kein keine können
        man mein meine meinem meinen meiner mich mir mit muss nach nicht noch nun nur ob oder sein seine seinem
        seinen seiner sich sie sind so soll über um und uns unser unsere unter vom von vor wann war waren warum was
        weil wem wen wenn wer werden wessen wie wieder wir wird wo wofür woher wohin wurde zu zum zur welche welcher
        welches wieso wollen welchem welchen wieviel""",
    "nl": """aan al als bij dan dat de deze die dit door een en er geen had heb hebben heeft hem het hier hij hoe ik
        in is je jij jouw kan maar me met mij mijn naar niet nog nu of om omdat onder ons onze ook op over te tot u
        uit van veel voor waar waarom wanneer was wat we welk welke wel werd wie wij wil wordt ze zich zij zijn zo
        zou hoeveel""",
    "fr": """ai as au aux avec avait ce ces cet cette chez comme comment dans de des donc du elle elles en est et
        été étaient était être eu il ils je la le les leur leurs lui ma mais me mes moi mon ne nos notre nous on ont
        ou où par pas pendant pour pourquoi qu quand que quel quelle quelles quels qui quoi sa sans se ses si son
        sont sur ta te tes toi ton tu un une vos votre vous y à a combien lequel laquelle lesquels lesquelles""",
    "es": """a al algo ante aquel aquella como cómo con cual cuál cuales cuáles cuando cuándo cuanto cuánto de del
        desde donde dónde e el él ella ellas ellos en era eran es esa ese eso esta está están este esto estos estas
        fue fueron ha había han hasta hay he la las le les lo los más me mi mí mis mucho muy nada ni no nos nosotros
        o os para pero por porque qué que quien quién quienes se ser si sí sin sobre son su sus también te tiene
        tienen tu tú tus un una unas uno unos usted ustedes y ya yo cuántos cuánta cuántas quiénes""",
    "pt": """a ao aos aquela aquele aquilo as até com como da das de dela dele deles depois do dos e é ela elas ele
        eles em entre era eram essa esse esta está estão este eu foi foram há isso isto já lhe mais mas me mesmo meu
        meus minha minhas muito na não nas nem no nos nós o onde os ou para pela pelo pelos por porque qual quais
        quando quanto que quem se sem ser seu seus só sua suas são também te tem têm tinha tu tua um uma você vocês
        quantos quanta quantas""",
    "it": """a ad agli ai al alla alle allo anche c che chi ci come con cosa cui da dagli dai dal dalla dalle de
        degli dei del dell della delle dello di dove e è ed era erano essere fu gli ha hai hanno ho i il in io l la
        le lei li lo loro lui ma me mi mia mie miei mio ne negli nei nel nella nelle noi non nostra nostro o per
        perché più può qual quale quali quando quanto quella quello questa queste questi questo qui se sei si sia
        siamo sono sta sua sue sui sul sulla suo suoi ti tra tu tua tuo un una uno vi voi quanti quanta quante c'è
        dov""",
    "ca": """a al als amb aquest aquesta com de del dels el ella ells els em en es és està han ha he hi i jo la les
        li meu meva molt no o on per però perquè què quan qui quin quina quins se seu seva són també un una va vaig
        ets hem""",
    "ro": """a acest această am ar are au avea ca când care cât ce cel cine cu cum da de după ea ei el ele erau era
        este eu fi fost în îi își îmi la le lui mai mea mei meu mi ne nu o pe pentru prin că sa să sau se spre sunt
        și te unde un una unei unui vor""",
    "pl": """a aby albo ale bo być był była było były by ci co czy czyj czyja czyje dla do dlaczego gdzie go i ich
        ile im ja jak jaka jaki jakie je jego jej jemu jest jestem jesteś już kiedy kogo komu który która które kto
        lub ma mam mi mnie mój moja moje my na nad nas nasz nie nich niego niej nim o od on ona one oni ono oraz po
        pod przed przez przy się są ta tak także tam te tego tej ten to tobie tu twoja twój ty tych tylko tym u w we
        wy z za ze że jakiego jakiej jakim jakich której którego którym którą czym kim ilu""",
    "cs": """a aby ale ani asi bez byl byla bylo byli být by co či do i já jak jaká jaké jaký jako je jeho její
        jejich jen ji již jsem jsi jsme jsou k kam kde kdo kdy když která které který ke ma má mají mě mi mně můj
        moje my na nad naše ne nebo není o od on ona oni ono po pod pro proč před přes při s se si sk ta tak také
        tam ten tento ti to tu tuto tvůj ty u už v ve vy z za ze že jakém jakého kterém kterého kterou čím kým kolik""",
    "sv": """alla att av bara blev de dem den denna det detta dig din dina där då efter ej eller en er ett från för
        ha hade han hans har hela hon honom hur i in inte ja jag kan man med men mig min mina mot mycket ni nu någon
        när och om oss på sig sin sina ska skulle som så till under upp ut vad var varför vart vem vi vid vilka
        vilken vilket vår är även över vilkas vems""",
    "da": """af alle at blev da de dem den denne der deres det dette dig din dog du efter eller en end er et for fra
        ham han hans har havde hende hun hvad hvem hvilken hvilket hvis hvor hvorfor hvornår i ikke ind jeg jer kan
        man med meget men mig min mit mod ned nej noget nogle nu når og også om op os over på sig sin sit skal som
        så til ud under var vi vil ville være været""",
    "nb": """alle at av ble da de deg dem den denne der deres det dette din du eller en er et etter for fra ha hadde
        han hans har hennes henne her hun hva hvem hvilken hvilket hvor hvorfor hvordan i ikke inn jeg kan man med
        meg men min mitt mot mye nei noe noen nå når og også om opp oss over på seg sin sitt skal som så til under
        ut var ved vi vil ville vår være vært""",
    "fi": """ei eli ett että he hän hänen ja jo jos joka jotka kanssa keitä ketkä koska kuin kuka kun mihin mikä
        miksi millainen milloin minne minua minun minä missä mistä miten mitä mutta myös ne niiden niin nyt olen oli
        olivat olla olet on ovat se sekä sen siellä siinä sinun sinä sitä te tai tuo tämä tämän vai vain voi""",
    "hu": """a az és egy hogy nem is de ez azt ezt van volt vannak voltak mi ki mit kit hol mikor miért hogyan hány
        milyen melyik én te ő ti ők nekem neked neki meg már csak ha vagy mert mint ami aki ahol itt ott el be le
        fel után előtt alatt között""",
    "tr": """acaba ama bana bazı ben beni benim bir biz bizim bu bunu bunun çok da daha de değil diye en gibi hangi
        hem her hiç için ile ise kadar kaç ki kim kimin mi mı mu mü nasıl ne neden nedir nerede nereye nereden niye
        o olan olarak oldu onlar onu onun sen senin siz sizin şey şu şunu ve veya vardı var ya yok idi hangisi neyi
        kaçta kaçı kime kimi""",
    "vi": """ai anh bạn bao bị bởi các cái cho chúng có của cũng đã đang đâu để đến đi được gì hay hơn khi không là
        lại làm lúc mà mình một nào này nên nếu nhiều những như nơi ở ra rất rồi sao sẽ tại thì theo thế tôi trên
        trong từ và vào vì với vẫn vậy ấy""",
    "id": """ada adalah agar akan aku anda apa apakah atau bagaimana bagi bahwa bisa dalam dan dari dengan di dia
        ini itu itulah jika juga kami kamu kapan karena ke kepada kita mana mengapa mereka nya oleh pada saat saya
        sebagai siapa sudah telah tetapi tidak untuk yang berapa""",
}
_CYRILLIC = {
    "ru": """а без бы был была были было быть в вам вас весь во вот все всё вы где да для до его ее её если есть еще
        ещё же за зачем и из или им их к как какая какие какое какой когда кого кому которая которые который кто ли
        между меня мне мной мои мой моя мы на над нам нас наш не него нее неё нет ни них но ну о об он она они оно
        от откуда по под почему при про с сам свой себя со сколько так также такой там те тебе тебя тем то тоже
        только том тот ту ты у уже чего чей чем что чтобы чья эта эти это этот эту я куда каком каким каких какого
        какую которой которых котором чьи""",
    "uk": """а або але без би був була були було бути в вам вас ви від він вона вони воно все всі де для до за зі з
        і й із його її їх як яка яке який які якщо коли кого кому хто куди ми мене мені мій моя моє на над нам нас
        наш не ні о об от по під при про та так також там те тебе тобі той то тому ти у це цей ця ці чи чий чому що
        щоб є звідки скільки якому якій якого яку яких котрий""",
    "bg": """а ако без бе беше би бил била били в вас ви все го да дали до докато ги за защо и из или им как каква
        какво какъв каквото кога когато кого което които който коя която къде ли ме между ми мое моето мой му на над
        не него нея ни но от още по под при с са само се си след със съм също така те тези това този той то тя ти
        тук у че чий чия ще я е какви кои чии колко""",
}
_GREEK = {
    "el": """από αν αυτά αυτές αυτή αυτό αυτοί αυτός για δε δεν εγώ εδώ εκεί είναι εμείς ένα έναν ένας εσύ έχει
        έχουν έχω η ήταν θα και κατά κι μας με μετά μη μην μια μία μου να ο οι όμως όπου όπως όταν ότι ούτε παρά
        ποια ποιά ποιες ποιο ποιοι ποιος που πού προς πριν πώς πως σαν σας σε στα στη στην στις στο στον στους τα τη
        την της τι τις το τον του τους των πότε πόσο πόσα γιατί ως πόσος πόση πόσοι ποιου ποιας ποιον ποιαν""",
}
_ARABIC = {
    "ar": """ان انا انت انه او اي اين الى الذي التي اما بعد بين تلك ثم حتى حول ذلك عن عند على غير فوق في قد قبل كان
        كانت كل كم كيف لا لان لقد لكن لم لن له لها لي ليس ما ماذا متى مع من منذ نحن نعم هذا هذه هل هم هنا هناك هو هي
        و يا لماذا لدي لديه وهو وهي متي ماهو ماهي""",
    "fa": """از است اگر اما او آن آنها این با باید بر برای به بود بودند بی تا تو چرا چه چطور چند چون چیست خود در را
        شما که کجا کجاست کدام کی کیست ما من می نه نیز نیست هر هم همه هست هستند و ولی یا یک کرد شد شده""",
    "ur": """اور آپ اس اسے ان اپنا اپنی اپنے بھی پر تو تک تھا تھی تھے جب جو سے کا کب کر کس کسی کو کون کہ کہاں کی کے
        کیا کیوں کیسے میرا میری میرے میں نہیں نے ہم ہو ہوں ہے ہیں وہ یہ یا""",
}
_HEBREW = {
    "he": """אבל או אולי אותה אותו אותי אותך אותם אז אחרי אי איך אין איפה אל אלה אם אנחנו אני אשר את אתה אתם בגלל
        בין גם הוא היא היה היו הייתה הם הן הנה ואת זאת זה זו יש כאן כאשר כבר כי כל כמה כמו כן כש לא לה להם לו לי לך
        לכם לנו לפני למה מאיפה מדוע מה מהו מהי מי מן מתי עד על עם של שלה שלו שלי שלך שלהם שלנו שם תחת איזה איזו לאן
        למי""",
}
_DEVANAGARI = {
    "hi": """अपना अपनी अपने अब और आप आपका इन इस इसका इसकी इसके इसे उन उनका उनकी उनके उस उसका उसकी उसके उसे एक एवं
        ऐसा कब कभी कर करता करती करते करना करने कहाँ कहां का कि कितना कितनी कितने किस किसका किसकी किसके किसने किसी
        किसे की कुछ के को कोई कौन कौनसा क्या क्यों कैसा कैसी कैसे गया गयी गई गए जब जहाँ जिस जो तक तब तुम तुम्हारा तो
        था थी थे दिया द्वारा ने नहीं पर बाद भी मुझे मेरा मेरी मेरे मैं में यदि यह यहाँ या ये रहा रही रहे लिए लेकिन व
        वह वहाँ वे से हम हमारा हमारी हमारे ही हुआ हुई हुए हूँ हूं हे है हैं हो होता होती होते होना किन किसमें""",
    "mr": """आणि आहे आहेत असे असून आता आपण आम्ही एक का काय कोण कोठे कुठे कधी कसे केली केले केव्हा च चा ची चे झाला
        झाली झाले तर ते ती तो त्या त्याचा त्याची त्याचे तू नाही पण पर मध्ये मला मी माझा माझी माझे या ला व वर शी सर्व
        ही हे होता होती होते""",
    "ne": """अनि अब आफ्नो उनी उनको एक को कहाँ कति कस्तो कसरी किन के कुन कहिले छ छन् छैन त तर तिमी तिम्रो थियो थिए
        देखि न पनि भएको म मा मेरो यस यो र लाई ले वा सँग हो होइन हामी हाम्रो""",
}
_BENGALI = {
    "bn": """আমি আমার আমাদের আপনি আপনার আর এ এই এক একটি এবং ও ওই কখন কত করে কি কিন্তু কী কে কেন কোথায় কোন কেমন ছিল
        ছিলেন জন্য তার তাদের তা তুমি তোমার তিনি থেকে না নয় পরে বা মধ্যে যে যদি সে সঙ্গে সাথে হয় হয়েছে হল হলো""",
}
_TAMIL = {
    "ta": """அது அந்த அவர் அவள் அவன் இது இந்த இல்லை உள்ளது எங்கே என் என்ன என்று எப்போது எப்படி எது எந்த ஏன் ஒரு நான்
        நீ நீங்கள் மற்றும் யார் ஆனால் ஆகும் எவ்வளவு""",
}
_HANGUL = {
    "ko": """가 은 는 이 을 를 의 에 그 그것 그녀 그는 그리고 그러나 그런데 나 나는 너 너는 내 네 누가 누구 누구의
        당신 들 또 또는 무슨 무엇 무엇입니까 뭐 뭐야 뭐예요 뭔가요 무엇인가요 몇 및 수 아주 아니 안 어느 어디 어디에
        어디서 어떤 어떻게 언제 얼마 왜 우리 우리는 이것 이다 입니까 입니다 있다 있는 있습니까 있습니다 있어 있어요
        있었다 저 저는 제 저것 좀 하다 하는 했다 합니다 하지만 예요 이에요 인가요 였다 이었다""",
}
# As the segmenter cuts them.
_CJK = {
    "zh": """的 了 是 在 我 你 您 他 她 它 我们 你们 他们 她们 和 与 及 或 而 但 但是 因为 所以 如果 这 那 这个 那个
        这些 那些 这里 那里 什么 甚么 谁 哪 哪里 哪儿 哪个 哪些 怎么 怎样 如何 为什么 何时 什么时候 时候 几 多少 吗
        呢 吧 啊 也 都 就 还 又 很 不 没 没有 有 被 把 给 对 从 到 向 为 于 以 着 过 地 得 之 其 个 们 里 上 下
        是不是 請 嗎 們 個 這 這個 那個 誰 甚麼 什麼 哪裡 哪裏 怎麼 為什麼 幾 還 沒 沒有 對 從 為 著 過 與 我們 你們
        他們 她們 裡 會 会 要 能 请 请问 問 问""",
    "ja": """の は が を に へ と で や も か な ね よ わ ぞ さ し た て だ です ます ました ません でした でしょ
        でしょう ある あり いる い おり これ それ あれ どれ この その あの どの ここ そこ あそこ どこ 何 なに なん
        誰 だれ いつ なぜ どう どうして どんな いくつ いくら から まで より ので のに けど けれど しかし そして また
        では じゃ ない なかっ れ られ せ させ する して う こと もの ため よう など だけ しか ば たら なら ながら
        って という ください くださ 私 僕 俺 彼 彼女 あなた 私達 私たち 何時 何処 でき ござい まし っ
        ありま すか ま した せん いま てい んで ござ ざ ご ましょ ますか ですか ありません""",
}
_THAI = {
    "th": """ที่ ของ และ ใน เป็น มี ไม่ ให้ ได้ จะ ว่า กับ แต่ หรือ ก็ คือ นี้ นั้น นี่ นั่น อะไร ใคร ไหน ที่ไหน
        เมื่อ เมื่อไหร่ เมื่อไร ทำไม อย่างไร ยังไง เท่าไหร่ เท่าไร กี่ ครับ ค่ะ คะ นะ ผม ฉัน ดิฉัน เขา เธอ คุณ เรา
        มัน พวก จาก ถึง โดย แล้ว อยู่ ไป มา ขึ้น ลง ด้วย เพราะ ถ้า ซึ่ง อัน ต้อง ควร เคย กำลัง ไหม มั้ย หรือเปล่า
        ใช่ ใด""",
}
_LAO = {
    "lo": """ທີ່ ຂອງ ແລະ ໃນ ເປັນ ມີ ບໍ່ ໃຫ້ ໄດ້ ຈະ ວ່າ ກັບ ແຕ່ ຫຼື ກໍ ແມ່ນ ນີ້ ນັ້ນ ຫຍັງ ໃຜ ໃສ ເມື່ອໃດ ເປັນຫຍັງ
        ແນວໃດ ຂ້ອຍ ເຈົ້າ ລາວ""",
}
_KHMER = {
    "km": """និង នៅ ជា មាន មិន បាន នឹង ថា ដែល ក្នុង ពី ទៅ មក នេះ នោះ
        អ្វី អ្នកណា ណា ពេលណា ហេតុអ្វី យ៉ាងម៉េច ខ្ញុំ អ្នក គាត់ របស់ ឬ ប៉ុន្តែ គឺ""",
}
_MYANMAR = {
    "my": """သည် ကို မှာ က နှင့် ၏ များ တွင် ဖြစ် ပါ ရှိ မ ဘာ ဘယ် ဘယ်သူ ဘယ်မှာ ဘယ်တော့ ကျွန်တော် ကျွန်မ သူ တယ် လဲ
        လား""",
}

# Of those of Latin letters, what is a word or a name in English too ("hat", "war", "Los Angeles"): it alone tells no
# language.
ALSO_ENGLISH = """ad ai al ale ama ban bin bis biz bun care cat co com come comment dan dang dar del den di dia die
    dig dit dog door dos du el em en end er era es est et fin go ha ham hat hay hem hi hic ho hun il jake jo jos k
    kit la lam las le lei les li lo los ma mai mam man mar mas med men mes met mi mia min mint mir mod mon mot mu na
    nada ned nun ob ok om op pa par pas pendant per pod por pour pro que ra rat s san sang se sen ser sin sit ska
    son sue sui sur ta tai take te tem ten ti til till ton tot tu um un una uno van vain via vid vol von war y yang
    yo z"""

GROUPS: tuple[dict[str, str], ...] = (
    _LATIN, _CYRILLIC, _GREEK, _ARABIC, _HEBREW, _DEVANAGARI, _BENGALI, _TAMIL, _HANGUL, _CJK, _THAI, _LAO, _KHMER,
    _MYANMAR,
)  # fmt: skip
