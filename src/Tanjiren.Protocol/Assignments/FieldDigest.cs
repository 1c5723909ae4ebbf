using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Protocol;

/// <summary>SHA-256 over fields in a fixed order, each with its length before it: no two lists of fields have the same bytes, whatever stands in them.</summary>
internal sealed class FieldDigest : IDisposable
{
    private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <param name="kind">What is digested and how, so that a digest of one thing is never that of another.</param>
    public FieldDigest(string kind) => Add(kind);

    public void Add(string? text)
    {
        if (text is null)
        {
            Add(-1);
            return;
        }
        var bytes = Encoding.UTF8.GetBytes(text);
        Add(bytes.Length);
        hash.AppendData(bytes);
    }

    /// <summary>In their order.</summary>
    public void Add(IReadOnlyList<string>? texts)
    {
        Add(texts?.Count ?? -1);
        foreach (var text in texts ?? []) Add(text);
    }

    /// <summary>Absent and empty are the same; the order of a JSON object says nothing.</summary>
    public void Add(IReadOnlyDictionary<string, string>? pairs)
    {
        Add(pairs?.Count ?? 0);
        foreach (var (name, value) in (pairs ?? new Dictionary<string, string>()).OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            Add(name);
            Add(value);
        }
    }

    /// <summary>Lower-case hex.</summary>
    public string Finish() => Convert.ToHexStringLower(hash.GetHashAndReset());

    public void Dispose() => hash.Dispose();

    private void Add(int number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(bytes, number);
        hash.AppendData(bytes);
    }
}
