using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Tanjiren.Agent.Masking;

/// <summary>
/// JSON with its values masked, valid as before. Not by masking its text: a mark that begins inside an escape, or stands where a number was, would break it. Half of a surrogate pair,
/// for which <see cref="JsonElement.GetString"/> throws, becomes U+FFFD.
/// </summary>
internal static class MaskedJson
{
    /// <summary>Begins a record of a JSON text sequence (RFC 7464).</summary>
    public const byte RecordSeparator = 0x1E;

    private const int MaxDepth = 512;

    public static JsonElement Of(JsonElement element, StepMasks masks)
    {
        var output = new ArrayBufferWriter<byte>();
        Write(Encoding.UTF8.GetBytes(element.GetRawText()), output, masks);
        using var document = JsonDocument.Parse(output.WrittenMemory, new JsonDocumentOptions { MaxDepth = MaxDepth });
        return document.RootElement.Clone();
    }

    /// <summary>A record of a JSON text sequence (RFC 7464): separator, object, line feed.</summary>
    public static ReadOnlySpan<byte> Record(ReadOnlySpan<byte> record, StepMasks masks)
    {
        var output = new ArrayBufferWriter<byte>(record.Length + 256);
        output.Write([RecordSeparator]);
        Write(record[1..].TrimEnd((byte)'\n'), output, masks);
        output.Write("\n"u8);
        return output.WrittenSpan;
    }

    private static void Write(ReadOnlySpan<byte> json, ArrayBufferWriter<byte> output, StepMasks masks)
    {
        // As events are written: what is no danger outside HTML stays readable.
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { MaxDepth = MaxDepth, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        while (reader.Read()) Copy(ref reader, writer, masks);
    }

    private static void Copy(ref Utf8JsonReader reader, Utf8JsonWriter writer, StepMasks masks)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject:
                writer.WriteStartObject();
                break;
            case JsonTokenType.EndObject:
                writer.WriteEndObject();
                break;
            case JsonTokenType.StartArray:
                writer.WriteStartArray();
                break;
            case JsonTokenType.EndArray:
                writer.WriteEndArray();
                break;
            case JsonTokenType.PropertyName:
                writer.WritePropertyName(masks.Text(TextOf(ref reader)));
                break;
            case JsonTokenType.String:
                writer.WriteStringValue(masks.Text(TextOf(ref reader)));
                break;
            case JsonTokenType.Number when masks.Masked(reader.ValueSpan) is { } masked:
                writer.WriteStringValue(masked);
                break;
            default:
                writer.WriteRawValue(reader.ValueSpan, skipInputValidation: true);
                break;
        }
    }

    private static string TextOf(ref Utf8JsonReader reader) => reader.ValueIsEscaped ? Escapes.JsonText(reader.ValueSpan) : Encoding.UTF8.GetString(reader.ValueSpan);
}
