using System.Text;

namespace Tanjiren.EndToEnd.Tests.Telemetry;

/// <summary>As much of the protobuf wire format as it takes to find text and bytes by the numbers of their fields.</summary>
internal sealed class ProtoMessage
{
    private readonly List<(int Number, ReadOnlyMemory<byte> Bytes)> _fields = [];

    public static ProtoMessage Parse(ReadOnlyMemory<byte> message)
    {
        var parsed = new ProtoMessage();
        for (var at = 0; at < message.Length;)
        {
            var key = Varint(message.Span, ref at);
            switch (key & 7)
            {
                case 0:
                    Varint(message.Span, ref at);
                    break;
                case 1:
                    at += 8;
                    break;
                case 2:
                    var length = (int)Varint(message.Span, ref at);
                    parsed._fields.Add(((int)(key >> 3), message.Slice(at, length)));
                    at += length;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    throw new InvalidDataException($"wire type {key & 7} at byte {at}");
            }
        }
        return parsed;
    }

    public IEnumerable<ProtoMessage> Messages(int number) => _fields.Where(f => f.Number == number).Select(f => Parse(f.Bytes));

    /// <summary>The first one; an empty one when there is none.</summary>
    public ProtoMessage Message(int number) => Messages(number).FirstOrDefault() ?? new ProtoMessage();

    public string Text(int number) => Encoding.UTF8.GetString(Bytes(number));

    public string Hex(int number) => Convert.ToHexStringLower(Bytes(number));

    private ReadOnlySpan<byte> Bytes(int number) => _fields.FirstOrDefault(f => f.Number == number).Bytes.Span;

    private static ulong Varint(ReadOnlySpan<byte> bytes, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var part = bytes[at++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80) return value;
        }
    }
}
