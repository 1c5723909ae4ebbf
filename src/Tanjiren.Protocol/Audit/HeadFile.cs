using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>What a head file says of one chain: the heads by their number, and the checkpoints. Read once; the file may tell of many chains.</summary>
public sealed class HeadFile
{
    private readonly Dictionary<string, SortedDictionary<long, AuditHead>> heads = [];
    private readonly Dictionary<string, List<AuditHead>> checkpoints = [];

    /// <summary>Lines that can't be read: each was being written when its server died, or was destroyed since.</summary>
    public int Unreadable { get; private set; }

    /// <exception cref="FormatException">A line carries no valid signature; the message names it.</exception>
    public static HeadFile Read(IEnumerable<string> lines)
    {
        var file = new HeadFile();
        var number = 0;
        foreach (var line in lines)
        {
            number++;
            if (line.Length > 0 && !file.TryAdd(line)) throw new FormatException($"line {number} of the head file carries no valid signature");
        }
        return file;
    }

    public IEnumerable<AuditHead> HeadsOf(string chain) => heads.TryGetValue(chain, out var known) ? known.Values : [];

    public AuditHead? At(string chain, long sequence) => heads.TryGetValue(chain, out var known) ? known.GetValueOrDefault(sequence) : null;

    public IReadOnlyList<AuditHead> CheckpointsOf(string chain) => checkpoints.GetValueOrDefault(chain) ?? [];

    private bool TryAdd(string line)
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
        if (head is null)
        {
            Unreadable++;
            return true;
        }
        if (!AuditChain.IsSigned(head)) return false;
        if (head.Kind == AuditHead.Checkpoint)
        {
            if (!checkpoints.TryGetValue(head.Chain, out var list)) checkpoints[head.Chain] = list = [];
            list.Add(head);
            return true;
        }
        if (!heads.TryGetValue(head.Chain, out var known)) heads[head.Chain] = known = [];
        // The first that was said of a number counts: a second one with another hash is told by the rows, which can match only one.
        known.TryAdd(head.Sequence, head);
        return true;
    }
}
