using System.Diagnostics;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>One request through a proxy and what became of it. Times are of one monotonic clock for all proxies of this process.</summary>
internal sealed class Exchange(string method, string target)
{
    public const int KeptBytes = 16 * 1024;

    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string Method { get; } = method;

    /// <summary>Without the query.</summary>
    public string Path { get; } = target.Split('?')[0];

    /// <summary>Its first 16 KiB, as sent; chunk framing included.</summary>
    public byte[] RequestBody { get; set; } = [];

    /// <summary>When it was handed to the server; null if it never was.</summary>
    public long? ForwardedAt { get; set; }

    /// <summary>What the server answered, whether or not the client got to see it.</summary>
    public int? Status { get; set; }

    public byte[] ResponseBody { get; set; } = [];

    public long? AnsweredAt { get; private set; }

    public FaultRule? Fault { get; set; }

    /// <summary>Ends when the server's answer has been read whole.</summary>
    public Task Answered => _answered.Task;

    public static long Now => Stopwatch.GetTimestamp();

    public void OnAnswered()
    {
        AnsweredAt = Now;
        _answered.TrySetResult();
    }

    public override string ToString() => $"{Method} {Path} -> {(Status?.ToString() ?? (ForwardedAt is null ? "not delivered" : "no answer"))}{(Fault is null ? "" : $" [{Fault.Description}]")}";
}
