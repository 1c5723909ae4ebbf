using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Makes a valid request wrong in one to three ways; one in eight stays as it is. Most wrongs keep the structure, so that they get past the parser.</summary>
internal sealed class Mutations(Cast cast, OtherOrganization other)
{
    private const int LongestLine = 8000;

    /// <summary>In characters.</summary>
    private const int LongestRepeat = 16 * 1024 * 1024;

    public void Apply(Draft draft, Random random)
    {
        if (random.Next(8) == 0) return;
        for (var left = random.Next(4) == 0 ? random.Next(2, 4) : 1; left > 0; left--) ApplyOne(draft, random);
        // A longer request line never reaches a route: the listener answers it with a bare 414.
        while (draft.PathAndQuery().Length > LongestLine && draft.Query.Count > 0) draft.Query.RemoveAt(draft.Query.Count - 1);
        Repair(draft, random);
    }

    private void ApplyOne(Draft draft, Random random)
    {
        var dice = random.Next(100);
        if (draft.Body is not null && dice < 66) ChangeBody(draft, random);
        else if (draft.Route.Method != "GET" && dice < 72) Say(draft, "bytes", () => draft.Bytes = draft.Route.TakesForm ? OddValues.Form(random, draft.Encode()) : OddValues.Body(random, draft.Encode()));
        else if (draft.Route.TakesForm && dice < 76) Say(draft, "multipart", () => draft.ContentType = Draft.Multipart);
        else if (draft.Route.Method != "GET" && dice < 80) ChangeContentType(draft, random);
        else if (draft.Path.Count > 0 && random.Next(2) == 0) ChangePath(draft, random);
        else if (random.Next(3) > 0) ChangeQuery(draft, random);
        else ChangeHeaders(draft, random);
    }

    private static void ChangeContentType(Draft draft, Random random) => Say(draft, "content type", () => draft.ContentType = Pick(random,
        null, "text/plain", "application/json; charset=utf-16", "application/json; charset=none-such", "application/json; charset=\"", "APPLICATION/JSON",
        "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-16", "application/x-www-form-urlencoded; charset=none-such",
        "Application/X-WWW-Form-Urlencoded; charset=\"", Draft.Multipart, "multipart/form-data", "application/problem+json", "nonsense"));

    private void ChangeBody(Draft draft, Random random)
    {
        var body = draft.Body!;
        var places = body.Places().ToList();
        var declared = draft.Route.Body is { } schema ? draft.Route.Schemas.Properties(schema) : [];
        switch (random.Next(10))
        {
            case 0 when body.Members.Count > 0:
                var gone = body.Members[random.Next(body.Members.Count)];
                Say(draft, "without " + gone.Name, () => body.Members.Remove(gone));
                return;
            case 1:
                var extra = Pick(random, "\"extra\"", "\"__proto__\"", "\"\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"$type\"", "\"id\"", "\"organizationId\"")!;
                Say(draft, "extra " + extra, () => body.Members.Insert(random.Next(body.Members.Count + 1), (extra, new JsonLeaf(Pick(random, OddValues.OtherTypes)!))));
                return;
            case 2 when body.Members.Count > 0:
                var twice = body.Members[random.Next(body.Members.Count)];
                var name = random.Next(3) == 0 ? twice.Name.ToUpperInvariant() : twice.Name;
                Say(draft, "twice " + name, () => body.Members.Add((name, random.Next(2) == 0 ? twice.Value : new JsonLeaf(Pick(random, OddValues.OtherTypes)!))));
                return;
            case 3 when declared.Count > 0:
                var (field, fieldSchema) = declared[random.Next(declared.Count)];
                Say(draft, "other " + field, () => body[field] = draft.Route.Schemas.Value(fieldSchema, field, random, n => cast.Seen(n, random)));
                return;
        }
        if (places.Count == 0) return;
        var place = places[random.Next(places.Count)];
        Say(draft, "changed " + place.Name, () => place.Replace(Changed(draft, place, random)));
    }

    private Json Changed(Draft draft, JsonPlace place, Random random)
    {
        var leaf = place.Value as JsonLeaf;
        switch (random.Next(12))
        {
            case < 2:
                return new JsonLeaf(Pick(random, OddValues.OtherTypes)!);
            case 2 when random.Next(3) == 0:
                return new JsonLeaf(OddValues.Nested(random));
            case 3:
                return Repeated(place.Value, OddValues.Around(random, 1, 5, 50, 200, 1000));
            case 4 when place.Value is JsonArray { Items.Count: > 0 } list:
                return Repeated(list.Items[0], OddValues.Around(random, 2, 50, 256, 1000));
            case 5 or 7 when leaf?.Words is { Length: > 8 } id && id.Contains('_', StringComparison.Ordinal):
                return Json.Text(SimilarId(id, random));
            case 6 when leaf?.Words is { } words:
                // Enums: other case, several at once, their number.
                return new JsonLeaf(Pick(random, Json.Quote(words.ToUpperInvariant()), Json.Quote(words + ", " + words), "\"stdout, system\"", "\"cancelled, queueTimeout\"", "\"member, admin\"",
                    "\"timeout,spawnFailed\"", "\"1\"", "7", Json.Quote(" " + words + " "))!);
            case < 9 when leaf is { IsNumber: true } && long.TryParse(leaf.Raw, out var number) && random.Next(2) == 0:
                return new JsonLeaf((number + random.Next(-1, 2)).ToString());
            default:
                return new JsonLeaf(leaf is { IsNumber: true } || random.Next(5) == 0 ? Pick(random, OddValues.Numbers)! : OddValues.String(random));
        }
    }

    /// <summary>Longer than any body may be, and not so long that it fills the memory that is measured.</summary>
    private static JsonArray Repeated(Json value, int times) => new([.. Enumerable.Repeat(value, Math.Min(times, 1 + LongestRepeat / Math.Max(1, value.ToString().Length)))]);

    private void ChangePath(Draft draft, Random random)
    {
        var name = draft.Path.Keys.ElementAt(random.Next(draft.Path.Count));
        var value = Uri.UnescapeDataString(draft.Path[name]);
        if (random.Next(3) == 0)
        {
            Say(draft, "odd " + name, () => draft.Path[name] = OddValues.Escaped(random));
            return;
        }
        var changed = SimilarId(value, random);
        Say(draft, "similar " + name, () => draft.Path[name] = Uri.EscapeDataString(changed));
    }

    private void ChangeQuery(Draft draft, Random random)
    {
        if (draft.Query.Count > 0 && random.Next(2) == 0)
        {
            var at = random.Next(draft.Query.Count);
            var (name, value) = draft.Query[at];
            switch (random.Next(4))
            {
                case 0:
                    Say(draft, "without query " + name, () => draft.Query.RemoveAt(at));
                    break;
                case 1:
                    Say(draft, "twice query " + name, () => draft.Query.Add((name, value)));
                    break;
                case 2:
                    Say(draft, "similar query " + name, () => draft.Query[at] = (name, Uri.EscapeDataString(SimilarId(Uri.UnescapeDataString(value), random))));
                    break;
                default:
                    Say(draft, "odd query " + name, () => draft.Query[at] = (name, OddValues.Escaped(random)));
                    break;
            }
            return;
        }
        var declared = draft.Route.Parameters.Where(p => p.In == "query").Select(p => p.Name).ToList();
        var added = declared.Count > 0 && random.Next(4) != 0 ? declared[random.Next(declared.Count)] : Pick(random, "x", "limit", "cursor", "session", "%00", "a[b]")!;
        Say(draft, "query " + added, () => draft.Query.Add((added, random.Next(6) == 0 ? "" : OddValues.Escaped(random))));
    }

    private void ChangeHeaders(Draft draft, Random random)
    {
        if (draft.Person is { IsCookie: false } person && random.Next(2) == 0 && cast.People.Where(p => p.Role < draft.Route.Least).ToList() is { Count: > 0 } weaker)
        {
            Say(draft, "weaker role", () => draft.Person = person with { Secret = weaker[random.Next(weaker.Count)].Secret });
            return;
        }
        var (name, value) = random.Next(9) switch
        {
            0 => ("Accept", "application/xml"),
            1 => ("Idempotency-Key", new string('k', OddValues.Around(random, 1, 200, 4000))),
            2 => ("Idempotency-Key", "with space"),
            3 => ("Last-Event-ID", Pick(random, OddValues.Numbers)!),
            4 => ("X-Forwarded-Host", "elsewhere.example"),
            5 => ("traceparent", Pick(random, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-zz", "")!),
            6 => ("X-HTTP-Method-Override", "DELETE"),
            7 => ("Accept-Language", new string('x', 3000)),
            _ => ("If-Match", "\"x\""),
        };
        Say(draft, "header " + name, () => draft.Headers.Add((name, value)));
    }

    /// <summary>What looks like this id and is another: a stranger's, a sibling's, one of another kind, none at all.</summary>
    private string SimilarId(string id, Random random) => random.Next(8) switch
    {
        < 3 when other.IdLike(id, random) is { } foreign => foreign,
        3 => id.ToUpperInvariant(),
        4 when id.Length > 1 => id[..^1],
        5 => id + "0",
        6 => Pick(random, Ids.New(Ids.Step, TimeProvider.System), Ids.New(Ids.Task, TimeProvider.System), Ids.New(Ids.Instance, TimeProvider.System), Ids.New(Ids.Organization, TimeProvider.System))!,
        _ => cast.AnyStep(random) is { } step ? random.Next(2) == 0 ? step.Id : step.TaskId : cast.OrganizationId,
    };

    /// <summary>A result's digest is made over its other fields: it follows them three times in four, or no change of them would be looked at.</summary>
    private static void Repair(Draft draft, Random random)
    {
        if (draft.Route.Name != "completeStep" || draft.Bytes is not null || draft.Body is null || draft.Changes.Any(c => c.Contains("resultDigest")) || random.Next(4) == 0) return;
        try
        {
            var result = JsonSerializer.Deserialize(draft.Body.ToString(), WireJson.Default.CompleteRequest);
            if (result is not null) draft.Body["resultDigest"] = Json.Text(ResultDigest.Compute(Uri.UnescapeDataString(draft.Path["id"]), result));
        }
        catch (JsonException)
        {
            // No result at all, then: it is refused before its digest is.
        }
    }

    private static void Say(Draft draft, string what, Action change)
    {
        draft.Changes.Add(what);
        change();
    }

    private static string? Pick(Random random, params string?[] values) => values[random.Next(values.Length)];
}
