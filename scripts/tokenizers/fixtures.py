"""Trains small tokenizers by the `tokenizers` package on text at hand, and records what it makes of a thousand texts.

  python scripts/tokenizers/fixtures.py Tests/TokenizerTests/Fixtures

Texts are names of days, months and countries in the languages of glibc's locale data (which nobody claims a copyright of), sentences of this
repository's docs, and what Unicode has of edges. Of each text one hash is kept, of its tokens and of what they are written as.
charsmap.b64, which charsmap.py wrote, is put into one of them.
"""
import base64
import json
import pathlib
import random
import re
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LOCALES = pathlib.Path("/usr/share/i18n/locales")
CHARSMAP = pathlib.Path(__file__).with_name("charsmap.b64")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def locale_texts():
    """Three texts of each language: its days, its months, and how it says yes and no."""
    texts = []
    for path in sorted(LOCALES.iterdir()):
        source = re.sub(r"/\s*\n\s*", "", path.read_text(encoding="utf-8", errors="ignore"))
        source = re.sub(r"<U([0-9A-Fa-f]{4,6})>", lambda m: chr(int(m[1], 16)), source)
        for key in ("day", "mon", "country_name|lang_name|yesstr|nostr|d_t_fmt"):
            lines = re.findall(rf"^(?:{key})\s+(.*)$", source, re.M)
            words = re.findall(r'"([^"]*)"', " ".join(lines))
            if len(words) > 1:
                texts.append(", ".join(words))
    return list(dict.fromkeys(texts))


def document_texts():
    """Sentences and code of the docs, as they were when this was run."""
    lines = []
    for path in sorted(pathlib.Path(".").glob("docs/*.md")):
        lines += [line for line in path.read_text().splitlines() if 30 < len(line) < 240]
    random.Random(7).shuffle(lines)
    return lines


def edge_texts():
    """What is easily got wrong."""
    draw = random.Random(11)
    texts = [
        "", " ", "  ", "\n", "\t \r\n", "\u00a0", "a", " a", "a ", "  a  b  ", "\u3000全角\u3000", "don't I'M we'LL they'd it's '", "''s 's'",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ☺️", "e\u0301 é E\u0301 ệ e\u0323\u0302 e\u0302\u0323", "Å Å Å ﬁ ﬀ ① ２ ㎏ ½ Ⅷ ſ K ™ …", "각 각 한글 \u1112\u1161\u11ab",
        "İstanbul ıi ẞß ΑΣ ΟΔΟΣ Ǆǆǅ", "สวัสดีชาวโลก ภาษาไทย กำ", "مرحبا بالعالم، كيف الحال؟ ﷺ ﻻ", "שלום עולם שָׁלוֹם", "नमस्ते दुनिया क्षत्रिय", "你好，世界。这是一个测试！",
        "こんにちは世界、ﾃｽﾄ ガギ か゛", "\u200bzero\u200cwidth\u200djoin\ufeff\u2060", "\x00\x01\x07\x1b\x7f\x80\x85\x9f\xad", "\ufffd \ufffe \U000e0001 \ue000 \U0010ffff",
        "a" * 300, "ab" * 200, "é" * 150, "👍" * 60, "!" * 200, " " * 100, "\n" * 50 + "x", "a\u0301\u0301\u0301\u0316\u0316\u0301", "1234567890 3.14 1,000 ٣٤ ४५ 五 Ⅻ",
        "https://example.org/a?b=c&d=%20#e foo_bar-baz@qux.com", "if (x[i] != 0) { y += z->w; } // comment", "\t\tindented\n    spaces\r\nCRLF\rCR", "▁ ▁a Ġ Ċ Ġa <0x41> ##ing",
        "[CLS] [SEP] [MASK] [UNK] <s></s> <unk> <pad>", "x[MASK]y [MASK] z", "<s>a <s> b<s>", "before <left> after <right>  end", "whole wholeword word whole", "The WHOLE whole. ünïcode Whole",
        "᙭ ๚ ༔ ‖ ‽ ⁂ 〽 ﹏ ＿ ＄ + < = > ^ ` | ~", "\u2028line\u2029para\u1680ogham\u202fnarrow", "\U0001d54f\U0001d555 𝔘𝔫𝔦 𐍈 𒀀 🀄", "ａｂｃ　ＡＢＣ", "q\u0307\u0323 \u1e69 \u1e9b\u0323", "ᾳ ΐ ΰ \u0344 \u0958 \u2126 \u212a",
    ]
    pools = ["abcdefghij ", "aA'sS tTdD\n", "àéîõü ǅ", "漢字かなカナ ", "👍🏽‍♂️ a", "ก็ำ ", "ااَبّ ", "0123456789,. ", "\t\n\r \u00a0\u3000", "▁Ġ<>0x41|[]", "".join(map(chr, range(0x300, 0x370))) + "ao "]
    while len(texts) < 200:
        pool = draw.choice(pools) if draw.random() < 0.7 else "".join(pools)
        texts.append("".join(draw.choice(pool) for _ in range(draw.randrange(1, 60))))
    while len(texts) < 260:
        scalars = (draw.choice([0x250, 0x3000, 0xFFFF, 0x2FFFF]) for _ in range(draw.randrange(1, 30)))
        codes = (draw.randrange(1, top) for top in scalars)
        texts.append("".join(chr(c) if not 0xD800 <= c < 0xE000 else " " for c in codes))
    return texts


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_piece(texts):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIAL, limit_alphabet=400, show_progress=False))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:1", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.enable_truncation(40)
    t.enable_padding(pad_id=0, pad_token="[PAD]", pad_to_multiple_of=8)
    return t


def gpt2(texts):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def roberta(texts):
    t = gpt2(texts)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True)])
    t.add_tokens([AddedToken("whole", single_word=True), AddedToken("<left>", lstrip=True), AddedToken("<right>", rstrip=True)])
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))])
    t.enable_truncation(30, direction="left")
    t.enable_padding(direction="left", length=32, pad_id=t.token_to_id("<|endoftext|>"), pad_type_id=3)
    return t


def llama3(texts):
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<|begin|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return t


def byte_tokens():
    return ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]


def llama2(texts):
    """Characters with bytes for what is no character of the vocabulary, and spaces as a character."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.train_from_iterator((text[:200] for text in texts), trainers.BpeTrainer(
        vocab_size=1000, special_tokens=byte_tokens(), limit_alphabet=200, max_token_length=12, show_progress=False))
    raw = json.loads(t.to_str())
    raw["added_tokens"] = raw["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(raw))
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def clip(texts):
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    t.normalizer = normalizers.Sequence([
        normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    t.decoder = decoders.BPEDecoder()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>"], limit_alphabet=250, end_of_word_suffix="</w>", show_progress=False))
    t.add_tokens(["WHOLE", AddedToken("ünïcode", normalized=True)])
    return t


def pieces(texts):
    """Unigram, as XLM-RoBERTa has it."""
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    known = (text for text in texts if all(ord(c) < 0x600 for c in text))  # all characters must be tokens
    t.train_from_iterator(known, trainers.UnigramTrainer(
        vocab_size=900, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", initial_alphabet=[], show_progress=False))
    t.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return t


def pieces_with_bytes(texts):
    t = pieces(texts)
    raw = json.loads(t.to_str())
    known = {p for p, _ in raw["model"]["vocab"]}
    raw["model"]["vocab"] = [[p, s] for p, s in raw["model"]["vocab"] if len(p) > 1 or ord(p) < 0x3000] + [
        [b, 0] for b in byte_tokens() if b not in known]
    raw["model"]["byte_fallback"] = True
    t = Tokenizer.from_str(json.dumps(raw))
    t.normalizer = normalizers.Sequence([
        normalizers.Precompiled(base64.b64decode(CHARSMAP.read_text())), normalizers.Strip(left=False, right=True)])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Metaspace(prepend_scheme="first", split=True)])
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return t


def words(texts):
    t = Tokenizer(models.WordLevel(unk_token="?"))
    t.normalizer = normalizers.NFKD()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.CharDelimiterSplit("x"),
        pre_tokenizers.Split("e", "merged_with_next"), pre_tokenizers.Split(Regex("[aeiou]+|(?=m)."), "removed", invert=False)])
    t.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=600, special_tokens=["?"], show_progress=False))
    return t


KINDS = {f.__name__: f for f in (word_piece, gpt2, roberta, llama3, llama2, clip, pieces, pieces_with_bytes, words)}


def answers(t, texts):
    """For each text: tokens, kinds and mask with special tokens, tokens without, and both written out."""
    t.encode_special_tokens = False
    for text, full in zip(texts, t.encode_batch(texts)):
        padding, t_padding = t.padding, t.no_padding()
        plain = t.encode(text, add_special_tokens=False)
        if padding:
            t.enable_padding(**padding)
        yield [full.ids, full.type_ids, full.attention_mask, plain.ids, t.decode(full.ids), t.decode(full.ids, skip_special_tokens=False)]


def fnv(answer):
    """FNV-1a of the answer as JSON without spaces."""
    value = 0xCBF29CE484222325
    for byte in json.dumps(answer, separators=(",", ":"), ensure_ascii=False).replace("\x7f", "\\u007f").replace("\\b", "\\u0008").replace("\\f", "\\u000c").encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def main():
    folder = pathlib.Path(sys.argv[1])
    locale, documents = locale_texts(), document_texts()
    texts = edge_texts() + [text[:240] for text in locale[::max(1, len(locale) // 440)]][:440]
    texts += documents[: 1000 - len(texts)]
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8")
    for name, make in KINDS.items():
        t = make(locale + documents)
        text = json.loads(t.to_str())
        if name == "gpt2":  # merges as older files have them
            text["model"]["merges"] = [" ".join(m) for m in text["model"]["merges"]]
        (folder / f"{name}.json").write_text(json.dumps(text, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        (folder / f"{name}.hashes").write_text("\n".join(fnv(a) for a in answers(t, texts)) + "\n")
        if len(sys.argv) > 2:
            pathlib.Path(sys.argv[2], f"{name}.answers").write_text(json.dumps(list(answers(t, texts))))


if __name__ == "__main__":
    main()
