using System.Text;
using System.Text.Json;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>A request while it is made: first valid, then changed. Everything in it is exactly what is sent, but for the proof, which is made over the result.</summary>
internal sealed class Draft(FuzzRoute route)
{
    /// <summary>The other encoding of a form. Pages read it too, and it lets other bytes through.</summary>
    public const string Multipart = "multipart/form-data; boundary=x";

    public FuzzRoute Route => route;

    /// <summary>Escaped.</summary>
    public Dictionary<string, string> Path { get; } = [];

    /// <summary>Escaped.</summary>
    public List<(string Name, string Value)> Query { get; } = [];

    public List<(string Name, string Value)> Headers { get; } = [];

    public JsonObject? Body { get; set; }

    /// <summary>Sent instead of <see cref="Body"/>.</summary>
    public byte[]? Bytes { get; set; }

    public string? ContentType { get; set; } = route.ContentType;

    /// <summary>The person's token or cookie, if a person sends it.</summary>
    public Person? Person { get; set; }

    /// <summary>The workstation, or just its key.</summary>
    public DeviceClient? Device { get; set; }

    public StepFact? Step { get; set; }

    public RotationFact? Rotation { get; set; }

    public string? PermissionId { get; set; }

    /// <summary>The key that a workstation asks for.</summary>
    public DeviceClient? NewKey { get; set; }

    public List<string> Changes { get; } = [];

    /// <summary>The server may rightly keep it waiting.</summary>
    public bool MayHang => route.Streams || Query.Any(q => q.Name.Equals("waitSeconds", StringComparison.OrdinalIgnoreCase)) && route.Admission == Admission.Workstation
        || route.Name is "getWork" or "awaitPermission" || Body is not null && Body.Places().Any(p => p.Name.Contains("waitSeconds", StringComparison.OrdinalIgnoreCase));

    public string PathAndQuery()
    {
        var path = new StringBuilder(route.Template);
        foreach (var name in route.PathParameters) path.Replace("{" + name + "}", Path.GetValueOrDefault(name, "none"));
        for (var i = 0; i < Query.Count; i++) path.Append(i == 0 ? '?' : '&').Append(Query[i].Name).Append('=').Append(Query[i].Value);
        return path.ToString();
    }

    public byte[] Encode()
    {
        if (Bytes is not null) return Bytes;
        if (Body is null) return [];
        if (route.TakesForm && ContentType == Multipart)
            return Encoding.UTF8.GetBytes(string.Concat(Body.Members.Select(m => $"--x\r\nContent-Disposition: form-data; name={m.Name}\r\n\r\n{Plain(m.Value)}\r\n")) + "--x--\r\n");
        return Encoding.UTF8.GetBytes(route.TakesForm ? string.Join('&', Body.Members.Select(m => Escaped(new JsonLeaf(m.Name)) + "=" + Escaped(m.Value))) : Body.ToString());
    }

    public void SetBody<T>(T body) => Body = (JsonObject)Json.Of(JsonSerializer.SerializeToElement(body, Protocol.WireJson.Default.Options.GetTypeInfo(typeof(T))));

    private static string Escaped(Json value) => Uri.EscapeDataString(Plain(value));

    /// <summary>As a field of a form: the text of a string, the JSON of anything else.</summary>
    private static string Plain(Json value) => (value as JsonLeaf)?.Words ?? value.ToString();
}

/// <summary>A person of the scenario with a credential: a token, or a cookie with an origin.</summary>
internal sealed record Person(string UserId, string Email, Protocol.Role Role, string Secret, bool IsCookie = false);

/// <summary>What the fuzzer knows of a step, from the answers that it got.</summary>
internal sealed class StepFact(string id, string taskId)
{
    public string Id => id;
    public string TaskId => taskId;
    /// <summary>The workstation that holds or held it.</summary>
    public DeviceClient? Holder { get; set; }
    public bool Held { get; set; }
    /// <summary>Its task has the questions of <see cref="Cast.Inquiry"/>.</summary>
    public bool Asks { get; set; }
    public bool Ended { get; set; }
    public long Generation { get; set; }
    public long LogSeq { get; set; }
}

/// <summary>A request for another key that waits, and the end of that key's fingerprint.</summary>
internal sealed record RotationFact(string InstanceId, string Id, string Last8);
