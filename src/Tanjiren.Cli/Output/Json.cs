using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Output;

/// <summary>
/// <c>--json</c>: the records of the wire as they are, so their schema is the API's. Nothing else goes to stdout beside it.
/// </summary>
internal static class Json
{
    private static readonly WireJson Indented = new(new JsonSerializerOptions(WireJson.Default.Options)
    {
        WriteIndented = true,
        // Strings still escape quotes and control characters; only <, > and non-ASCII letters stay readable.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static void Write<T>(CliContext cli, T value, Func<WireJson, JsonTypeInfo<T>> type) =>
        cli.Out.WriteLine(JsonSerializer.Serialize(value, type(Indented)));

    /// <summary>One object a line (JSON Lines), for streams.</summary>
    public static void WriteLine<T>(CliContext cli, T value, Func<WireJson, JsonTypeInfo<T>> type) =>
        cli.Out.WriteLine(JsonSerializer.Serialize(value, type(WireJson.Default)));
}
