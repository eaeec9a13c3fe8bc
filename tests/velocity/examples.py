"""Templates, and what every engine makes of them: what those of the components may use."""

from local.standin.velocity import Request

REQUEST = Request(
    body='{"a": {"b": [1, {"c": "d"}]}, "odd": true, "n": 7, "f": 1.1, "z": null, "e": "", "x": "\\u001f"}',
    headers={"X-Tenant": "Acme", "get": "a header", "keySet": "another"},
    query={"page": "2", "size": "large"},
    path={"id": "7"},
)
LOWERED = (
    "#set($h = {})#foreach($k in $input.params().header.keySet())"
    "#set($x = $h.put($k.toLowerCase(), $input.params().header.get($k)))#end"
)
CONTEXT = {"t": True, "claims": {"a:b": "d", "sub": "e"}}
SAME = [
    ("$input.body", REQUEST.body),
    ("$input.path('$.n') $input.path('$.f') $input.path(\"$['odd']\")", "7 1.1 true"),
    ("$input.path('$.a') $input.path('$.a.b')", "{b=[1, {c=d}]} [1, {c=d}]"),
    ("$input.json('$.a') $input.json('$.none') $input.json('$.z')", '{"b":[1,{"c":"d"}]} "" ""'),
    ("$input.json('$.x') $input.json('$.e')", '"\\u001F" ""'),
    ("#set($it = $input.path('$.a'))$it.b[1].c $it.get('b').size()", "d 2"),
    ('#set($i = 1)$input.path("$.a.b[${i}].c") $input.json("$.a.b[$i]")', 'd {"c":"d"}'),
    ("$util.parseJson($input.body).a.b[1].c", "d"),
    ('"$!input.path(\'$.z\')" "$!none" "$!{none}" "$!context.none.none"', '"" "" "" ""'),
    ('#set($x = "$!input.path(\'$.n\')")$util.urlEncode("$!x&") $x.length()', "7%26 1"),
    ("$input.params('x-tenant') $input.params('id') $input.params('page')", "Acme 7 2"),
    (f"{LOWERED}$h.get('x-tenant') $h.get('get') $h.get('keyset') $h.size()", "Acme a header another 3"),
    ("$input.params().header.get('get') $input.params().header.get", "a header a header"),
    ("$input.params().querystring.size() $input.params().querystring.page", "2 2"),
    ("$input.params().header.keySet() $input.params().path", "[X-Tenant, get, keySet] {id=7}"),
    ("#foreach($e in $input.params().path.entrySet())$e.key $e.value $e.getKey() $e#end", "id 7 id id=7"),
    ("#foreach($each in $input.params().querystring)$each;#end", "2;large;"),
    ("#foreach($each in $input.params().querystring.values())$each;#end", "2;large;"),
    ("#foreach($each in $input.path('$.none'))x#end#foreach($each in $input.body)x#end", ""),
    ("#foreach($x in ['a', 'b'])$foreach.index$foreach.count$foreach.hasNext;#end", "01true;12false;"),
    ("#set($x = 1)#foreach($x in ['a', 'b'])#set($last = $x)#end$last$x", "b1"),
    ("#foreach($a in [1, 2])#foreach($b in [3])$foreach.count#end$foreach.count#end", "1112"),
    ("#set($n = 0)#foreach($x in ['a', 'b'])#set($n = $n + 1)#end$n ${n}x", "2 2x"),
    ("#foreach($i in [1..1100])#set($n = $i)#end$n", "1000"),
    (
        "#set($m = {})$m.isEmpty() $!m.put('a', 1) $m.put('a', 2) $m.containsKey('a') $m",
        "true  1 true {a=2}",
    ),
    ("#set($m = {'a': [1, 'b'], 'c': {}})$m.a.get(1) $m.get('c') $m.a.isEmpty()", "b {} false"),
    ("#set($l = [])$l.isEmpty() $l.add('x') $l.contains('x') $l", "true true true [x]"),
    ("#if($none)yes#{else}no#end #if(!$none)yes#{else}no#end", "no yes"),
    ("#if($input.path('$.e'))yes#{else}no#end #if($input.path('$.e') && true)yes#end", "yes yes"),
    ("#if($none == $nothing)yes#end#if($none != '')yes#end#if($none == '')no#end", "yesyes"),
    ("#if($input.path('$.n') == '7')a#end#if($input.path('$.n') == 7)b#end#if(7 == 7.0)c#end", "abc"),
    ("#if($context.t == 'true')a#end#if($context.t == true)b#end#if($context.t == 1)c#end", "ab"),
    ("#if('a' == 'b')1#elseif(3 > 2 && (1 == 2 || 'x' == \"x\"))2#{else}3#end", "2"),
    ("#if(true)a#{else}b#{end}c#if(false)a#else-b#end", "ac-b"),
    ("#set($context.responseOverride.header.X-Y = 5)x", "x"),
    ("$context.claims['a:b'] $context.claims.sub $context.claims.get('a:b')", "d e d"),
    ("[$!context.claims['c:d']] [$!context.none['a:b']] [$!context.none.none['a:b']]", "[] [] []"),
    ("#set($x = \"$!context.claims['a:b']\")#set($y = \"$!context.none['a:b']\")[$x] [$y]", "[d] []"),
]
"""Each with the text that comes of it."""

WRONG = [
    "$util.urlEncode($none)",
    "$input.path('$.a.b').get(2)",
    "$input.params('id').substring(2)",
    "$input.params('id').substring(1, 0)",
    "$util.parseJson('{')",
    "$util.parseJson('NaN')",
    "#if(true)",
    # These end nothing: a letter follows.
    "#if(true)yes#endno",
    "#foreach($x in [1])$x#end1",
    "#set($context.responseOverride.status = 'none')",
]
"""What no engine renders."""
