using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// What a head file says of its chains: the heads by their number, and the checkpoints. Read once. A line that is worth nothing takes nothing from the others.
/// </summary>
public sealed class HeadFile
{
    private readonly Dictionary<string, SortedDictionary<long, AuditHead>> heads = [];
    private readonly Dictionary<string, List<AuditHead>> checkpoints = [];
    private readonly Dictionary<string, string> keys = [];
    private readonly Dictionary<string, int> unsigned = [];

    /// <summary>Lines that can't be read: each was being written when its server died, or was destroyed since.</summary>
    public int Unreadable { get; private set; }

    /// <summary>Lines that can be read and carry no valid signature of their chain's key: no server wrote them.</summary>
    public int Unsigned { get; private set; }

    public static HeadFile Read(IEnumerable<string> lines)
    {
        var file = new HeadFile();
        var number = 0;
        foreach (var line in lines)
        {
            number++;
            if (line.Length > 0) file.Add(line, number);
        }
        return file;
    }

    /// <summary>Heads and checkpoints, by their number.</summary>
    public IEnumerable<AuditHead> HeadsOf(string chain) => heads.TryGetValue(chain, out var known) ? known.Values : [];

    public AuditHead? At(string chain, long sequence) => heads.TryGetValue(chain, out var known) ? known.GetValueOrDefault(sequence) : null;

    public IReadOnlyList<AuditHead> CheckpointsOf(string chain) => checkpoints.GetValueOrDefault(chain) ?? [];

    /// <summary>Thumbprint of the key of the chain's first line, which is the oldest; null: there is none.</summary>
    public string? KeyOf(string chain) => keys.GetValueOrDefault(chain);

    /// <summary>Number of the first of them that says it is of this chain, from 1; null: there is none.</summary>
    public int? UnsignedLineOf(string chain) => unsigned.TryGetValue(chain, out var line) ? line : null;

    private void Add(string line, int number)
    {
        AuditHead? head = null;
        try
        {
            head = JsonSerializer.Deserialize(line, WireJson.Default.AuditHead);
        }
        catch (JsonException)
        {
            // Counted below. Whoever can spoil a line can also delete it: refusing the file would tell no more.
        }
        if (head?.Chain is null) Unreadable++;
        else if (AuditChain.IsSigned(head) && IsOfItsKey(head)) Add(head);
        else
        {
            Unsigned++;
            unsigned.TryAdd(head.Chain, number);
        }
    }

    private void Add(AuditHead head)
    {
        if (head.Kind == AuditHead.Checkpoint)
        {
            if (!checkpoints.TryGetValue(head.Chain, out var list)) checkpoints[head.Chain] = list = [];
            list.Add(head);
        }
        // A checkpoint tells a row's hash as a head does.
        if (!heads.TryGetValue(head.Chain, out var known)) heads[head.Chain] = known = [];
        // The first that was said of a number counts: a second one with another hash is told by the rows, which can match only one.
        known.TryAdd(head.Sequence, head);
    }

    private bool IsOfItsKey(AuditHead head)
    {
        var signer = head.Key.Thumbprint();
        return keys.TryAdd(head.Chain, signer) || keys[head.Chain] == signer;
    }
}
