"""The prompts that both tokenizers are held to: what people type, and what breaks tokenizers."""

plain = """
a photo of a cat
Make the sky pink
Change the background to a beach at sunset, keep the person exactly the same
remove the red car
Remove all text from the image.
Replace the dog with a fluffy white rabbit
add a tall green tree on the left
Move the blue ball to the right of the yellow box
turn this into a watercolor painting
Put a hat on him
Convert to black & white
restore and colorize this old photograph
zoom out a little, so that we see the whole house
Change "OPEN" to "CLOSED" on the sign
make it winter
masterpiece, best quality, 8k, ultra-detailed, cinematic lighting
(best quality:1.2), [blurry], {detailed}
a cat::2 and a dog::-1
portrait of a woman, 35mm, f/1.8, ISO 100, 1/250s
the year 1999 and the number 1,234,567.89
0 1 2 3 4 5 6 7 8 9 10 100 1000
3.14159265358979323846
2+2=4, 10% off, $5.99, £3, €20, ¥100, #1!
it's, don't, we're, they've, I'm, you'll, he'd
IT'S DON'T WE'RE THEY'VE I'M YOU'LL HE'D
rock'n'roll o'clock ''quoted'' '' '
https://example.com/path/to/page?query=1&other=two#fragment
someone@example.com
C:\\Users\\me\\Pictures\\cat.png
/usr/share/fonts/truetype
<b>bold</b> <br/> &amp; &lt;tag&gt; &quot;
{"prompt": "a cat", "steps": 28}
function f(x) { return x ** 2; }
SELECT * FROM images WHERE id = 1; --
hello_world snake_case camelCase PascalCase kebab-case
well-known state-of-the-art one--two three---four
wait... what?! no!!! yes???
!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!
. , ; : ! ? - _ ' " ( ) [ ] { } < > / \\ | @ # $ % ^ & * + = ~ `
.,;:!?-_'"()[]{}<>/\\|@#$%^&*+=~`
a.b.c,d;e:f
a
A
I
1
?
'
's
'S 't 'RE
s's's
supercalifragilisticexpialidocious
pneumonoultramicroscopicsilicovolcanoconiosis
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
abababababababababababababababab
THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG
The Quick Brown Fox Jumps Over The Lazy Dog
tHe qUiCk bRoWn fOx
une photo d'un chat à côté d'une fenêtre
Ändere den Hintergrund zu einer Straße in München
Größe ß ẞ STRASSE straße
cambia el cielo a color rosa, ¿vale? ¡sí!
adicione uma árvore à esquerda, não à direita
zmień tło na plażę o zachodzie słońca
změň pozadí, přidej žluťoučký kůň
háttér módosítása: tűzijáték őszi erdőben
İstanbul'da ışık ıslak IĞDIR ilginç
Þetta er köttur á mottunni, æðislegt
ngày mai trời sẽ mưa ở Hà Nội
сделай небо розовым
СДЕЛАЙ НЕБО РОЗОВЫМ ёЁ йЙ
зміни тло на пляж, їжак і ґанок
κάνε τον ουρανό ροζ
ΟΔΥΣΣΕΥΣ ΣΊΣΥΦΟΣ ΟΔΟΣ Σ σ ς
ὁ ἄνθρωπος ᾠδή ᾼ ῼ
把天空变成粉红色
把背景换成海滩,保留人物。
空をピンクにしてください
ソラヲピンクニ ｿﾗｦﾋﾟﾝｸﾆ ガギグゲゴ
하늘을 분홍색으로 바꿔 주세요
하늘 (jamo)
اجعل السماء وردية
اَلْعَرَبِيَّةُ مُشَكَّلَة
הפוך את השמיים לוורודים
שָׁלוֹם עוֹלָם
آسمان را صورتی کن می‌خواهم
आसमान को गुलाबी बना दो क्षत्रिय
আকাশ গোলাপী করো
வானத்தை இளஞ்சிவப்பாக மாற்று
ทำให้ท้องฟ้าเป็นสีชมพู
ပုဂံမြို့ မြန်မာ
ភាសាខ្មែរ កម្ពុជា
გახადე ცა ვარდისფერი ᲒᲐᲮᲐᲓᲔ
երկինքը վարդագույն դարձրու և ﬓ
ሰማዩን ሮዝ አድርገው
ᏣᎳᎩ ꮳꮃꭹ
བོད་སྐད་
mixed 中文 and English и русский と日本語 عربي
😀
😀😃😄😁 smile
a 🐱 and a 🐶 on the 🏖️
👩‍👩‍👧‍👦 family 👨🏽‍🚀 astronaut
🇩🇪🇫🇷🇯🇵 flags
❤️ ❤ ♥ ♥️ ☺️ ©️ ™ ® ℠
1️⃣ 2️⃣ #️⃣ *️⃣
👍🏻👍🏼👍🏽👍🏾👍🏿
🫠🫡🫨🩷🪿
🏴󠁧󠁢󠁥󠁮󠁧󠁿 England
café cafe\u0301 CAFÉ CAFE\u0301
naïve nai\u0308ve Å A\u030a Å \u212b
e\u0301\u0327 q\u0307\u0323 q\u0323\u0307
Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞
ﬁ ﬂ ﬀ ﬃ ﬄ ﬅ ﬆ ligatures
½ ¼ ¾ ⅓ ⅔ ⅛ fractions
x² y³ m⁻¹ H₂O CO₂ n⁰
Ⅰ Ⅱ Ⅲ Ⅳ ⅷ Ⅻ roman
① ② ③ ⓐ ⓑ ⒈ ⑴ ㈱ ㍿ ㎏ ㎡ ㏄
ＦＵＬＬ ｗｉｄｔｈ １２３ ！？ ～ 〜
𝐁𝐨𝐥𝐝 𝑰𝒕𝒂𝒍𝒊𝒄 𝓢𝓬𝓻𝓲𝓹𝓽 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝔻𝕠𝕦𝕓𝕝𝕖
ᴀʙᴄᴅ ˢᵘᵖᵉʳ ₛᵤᵦ
“smart” ‘quotes’ „low“ «guillemets» ‹single› ‚low‘
en–dash em—dash minus− hyphen‐ nb‑hyphen figure‒ bar―
ellipsis… two‥ one․ bullets • · ‣ ◦ ∙
† ‡ § ¶ ª º ° ′ ″ ‰ ‱ № ℃ ℉ Ω K
± × ÷ ≠ ≤ ≥ ≈ ∞ √ ∑ ∫ ∂ ∆ π µ μ
← ↑ → ↓ ↔ ⇒ ⇔ ➜ ➡️
■ □ ▲ △ ● ○ ★ ☆ ♠ ♣ ♦ ✓ ✗ ✂ ☎
─│┌┐└┘├┤┬┴┼ ═║╔╗ █▓▒░
♩♪♫♬♭♮♯ 𝄞
₿ ₹ ₽ ₩ ₪ ₫ ₴ ₦ ¢ ¤ ƒ
Ĳ ĳ Ŀ ŀ ŉ ſ Ǆ ǅ ǆ Ǉ ǲ
ß SS ẞ ﬀ ŒUVRE œuvre Æther æther
Å Å Ω Ω K K
Ꙁ Ⴀ ა Ა ꭰ
𐐀𐐨 𐓏 𞤀𞤢
𠀀 𠜎 𪚥 㐀 豈 更
가 각 힣 ㄱ ㅏ ᄀ
ｶﾞ ﾊﾟ ヴ ゔ か\u3099 は\u309a
ー ｰ 〇 々 〆 ヶ 「」『』【】〔〕、。・
٠١٢٣ ۰۱۲۳ ०१२३ ０１２３ ๐๑๒๓ 𝟘𝟙𝟚𝟛
\u0130 I\u0307 i\u0307 \u0131
<|endoftext|>
<|startoftext|>
a cat <|endoftext|> a dog
<|startoftext|>a cat<|endoftext|>
<|ENDOFTEXT|> <|StartOfText|>
<|endoftext|><|endoftext|><|endoftext|>
<|ENDOFTEXT|>
a<|ENDOFTEXT|><|endoftext|>
x<|endoftext|>y <| endoftext |> <|endoftext
</s>
<pad>
<unk>
a cat </s> a dog
a cat</s>a dog
</s></s> <pad><pad>
＜/s＞
＜pad＞ ﹤unk﹥
<s> </S> <PAD> < /s>
<extra_id_0> <extra_id_99> <extra_id_100>
a <extra_id_1>, b<extra_id_2>c
[CLS] [SEP] [MASK] [PAD] [UNK] <mask> <s>
▁ ▁▁ a▁b ▁the
</w> a</w> cat</w>dog
Ġcat Ċ Ā
\\u0041 \\n \\t \\x00 %20 &nbsp;
"""

# What a line of text cannot hold, or what a reader could not see.
exact = [
    "",
    " ",
    "  ",
    "        ",
    "\t",
    "\n",
    "\r\n",
    "\n\n\n",
    " \t \n ",
    " leading",
    "   three leading",
    "trailing ",
    "trailing   ",
    "  both  ",
    "\tleading tab",
    "trailing newline\n",
    "two  spaces",
    "three   spaces    four     five",
    "a\tb\t\tc",
    "line one\nline two",
    "line one\r\nline two\rline three",
    "paragraph one\n\nparagraph two\n",
    "vertical\vtab form\ffeed",
    "no-break\u00a0space narrow\u202fspace figure\u2007space",
    "em\u2003space en\u2002space thin\u2009space hair\u200aspace",
    "ideographic\u3000space ogham\u1680space mathematical\u205fspace",
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word\ufeffbom",
    "\ufeffbom first",
    "line\u2028separator paragraph\u2029separator next\u0085line",
    "soft\u00adhyphen left\u200eright\u200fmarks \u202aembedding\u202c \u2066isolate\u2069",
    "control\u0001\u0002\u0007\u0008\u001b\u001f\u007f\u0080\u009f characters",
    "nul\u0000byte",
    "\u0000",
    "private\ue000use \uf8ff \U000f0000",
    "not a character \ufffe \uffff \U0001ffff",
    "replacement \ufffd \ufffd\ufffd character",
    "unassigned \u0378 \u0380 \U000e0080",
    "\u0301combining first",
    "\u200d",
    "\ufe0f",
    "\U0001f468\u200d",
    "variation \u2764\ufe0e \u2764\ufe0f \u845b\U000e0100",
    "hangul \u1100\u1161\u11a8 \u1100\u1161 \uac00\u11a8 \u3131",
    "keycap 1\u20e3 #\ufe0f\u20e3",
    "\u0344 \u0340 \u0341 \u0374 \u037e \u0387",
    "\u0958 \u095f \u09dc \u0f43 \ufb1d \ufb2a",
    "\u2126 \u212a \u212b \u2329 \u232a",
    "  <|endoftext|>  a  ",
    "  </s>  a  ",
    "a cat\n</s>\na dog ",
    "<pad> <pad>",
    " <unk> x",
    "x <unk>",
    "a </s>b</s> c",
    "\U0001f600\U0001f600\u0301 \U0001f600\ufe0f",
    "\u01c4\u01c5\u01c6 \u1e9e \u0149 \u1f80 \u1f88 \u1fb3 \u1fbc",
    "\u03a3 A\u03a3 A\u03a3B \u03a3\u03a3\u03a3 A\u03a3. A\u03a3\u0301 A\u03a3'",
    "\u10a0 \u10d0 \u1c90 \u13a0 \uab70 \u13f8",
    "\U00010400 \U000104b0 \U00010c80 \U000118a0 \U0001e900",
    "\u1e00\u0041\u0325 \u1ea0\u0041\u0323",
]

long = [
    "a " * 70 + "cat",
    "a " * 75,
    "a " * 76,
    "a " * 77,
    "word " * 74 + "end",
    "a cat and a dog, " * 40,
    "x" * 300,
    "ab" * 400,
    "1234567890" * 60,
    "!?" * 400,
    "\u732b" * 300,
    "\U0001f600" * 130,
    "\u0627\u0644\u0633\u0645\u0627\u0621 " * 120,
    "the quick brown fox jumps over the lazy dog. " * 60,
    "the " * 509,
    "the " * 510,
    "the " * 511,
    "the " * 512,
    "the " * 513,
    "A long and winding description of a scene with mountains, rivers, and an old stone bridge. " * 30,
    "e\u0301" * 300,
    " " * 600 + "far away" + " " * 600,
    "\n".join(f"line {i}: a {c} ball" for i, c in enumerate(["red", "green", "blue", "yellow"] * 30)),
    "<|endoftext|>" * 90,
    "</s> x " * 300,
]

prompts = plain.strip().split("\n") + exact + long
