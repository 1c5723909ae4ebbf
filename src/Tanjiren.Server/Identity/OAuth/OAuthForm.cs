using Tanjiren.Protocol;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>The form of an OAuth request, read strictly: one content type, no parameter twice (RFC 6749 §3.2), a client that we know.</summary>
internal sealed class OAuthForm
{
    private const int MaxNameLength = 255;

    private readonly IFormCollection _fields;

    private OAuthForm(IFormCollection fields, OAuthClient client) => (_fields, Client) = (fields, client);

    public OAuthClient Client { get; }

    /// <summary>A parameter; empty when it is absent, for RFC 6749 §3.1 treats the two alike.</summary>
    public string this[string name] => _fields[name].ToString();

    public static async Task<(OAuthForm? Form, OAuthError? Refusal)> ReadAsync(HttpContext context)
    {
        if (context.Request.GetTypedHeaders().ContentType?.MediaType != "application/x-www-form-urlencoded")
            return Refuse(OAuthErrors.InvalidRequest, "The body must be a form: Content-Type: application/x-www-form-urlencoded.");
        IFormCollection fields;
        try
        {
            fields = await context.Request.ReadFormAsync(context.RequestAborted);
        }
        catch (Exception e) when (e is InvalidDataException or BadHttpRequestException { StatusCode: 400 } or (IOException and not BadHttpRequestException))
        {
            // Too large and too slow are told by ErrorAnswers, as everywhere.
            return Refuse(OAuthErrors.InvalidRequest, "The body is not a form, or has too many parameters.");
        }
        foreach (var (name, values) in fields)
            if (values.Count > 1) return Refuse(OAuthErrors.InvalidRequest, $"The parameter '{Printable(name)}' is there more than once.");

        // A public client has no secret; one that shows one is confused about who it is.
        if (context.Request.Headers.Authorization.Count > 0)
            return (null, new OAuthError(401, OAuthErrors.InvalidClient, "This server knows public clients only: send client_id in the form, and no Authorization header."));
        var id = fields["client_id"].ToString();
        if (id.Length == 0) return Refuse(OAuthErrors.InvalidRequest, "The parameter client_id is missing.");
        if (OAuthClients.Find(id) is not { } client) return Refuse(OAuthErrors.InvalidClient, $"There is no client '{Printable(id)}'.");
        if (fields["client_secret"].Count > 0) return Refuse(OAuthErrors.InvalidClient, "This client has no secret.");
        return (new OAuthForm(fields, client), null);
    }

    /// <summary>Text that a client tells for people to read: without control characters, cut to what is stored; null when there is none.</summary>
    public string? Words(string name)
    {
        var text = string.Concat(this[name].Where(c => !char.IsControl(c))).Trim();
        if (text.Length <= MaxNameLength) return text.Length == 0 ? null : text;
        // Half of a surrogate pair is no text: PostgreSQL's driver refuses it.
        return text[..(char.IsHighSurrogate(text[MaxNameLength - 1]) ? MaxNameLength - 1 : MaxNameLength)];
    }

    private static (OAuthForm?, OAuthError?) Refuse(string error, string description) => (null, OAuthError.Of(error, description));

    /// <summary>RFC 6749 §5.2: error_description is printable ASCII without quote and backslash.</summary>
    private static string Printable(string text) =>
        string.Concat(text.Take(100).Select(c => c is >= ' ' and <= '~' and not ('"' or '\\') ? c : '?'));
}
