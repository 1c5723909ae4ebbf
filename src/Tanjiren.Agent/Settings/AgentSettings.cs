namespace Tanjiren.Agent.Settings;

/// <summary>What the machine's owner allows and wants of the agent: <c>~/.tanvrit/agent.yaml</c> (A-05). Every value has a default; an empty file means all of them.</summary>
public sealed record AgentSettings
{
    public LimitSettings Limits { get; init; } = new();

    /// <summary><c>idleSuspendSeconds</c>: after this long without work the agent suspends itself, 10-86,400 s; 0 = never. Default 600.</summary>
    public int IdleSuspendSeconds { get; init; } = 600;

    /// <summary><c>labels</c>: announced beside what is detected; they win over it.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary><c>maxConcurrent</c>: steps that run at once, 1-1000. Absent: the machine's processors.</summary>
    public int? MaxConcurrent { get; init; }

    /// <summary><c>codingAgents</c>: by name; they win over what is found on PATH.</summary>
    public IReadOnlyDictionary<string, CodingAgentSettings> CodingAgents { get; init; } = new Dictionary<string, CodingAgentSettings>();

    /// <summary><c>mask</c>: what must not leave the machine .</summary>
    public MaskSettings Mask { get; init; } = new();
}

/// <summary>Caps of each job. A job over one is killed with <c>ResourceExceeded</c>; processors are held to theirs instead.</summary>
public sealed record LimitSettings
{
    /// <summary><c>limits.cpu</c>: cores, above 0, fractions allowed. Absent: no cap.</summary>
    public double? Cpu { get; init; }

    /// <summary><c>limits.memoryMb</c>: MiB of the whole process tree, at least 16. Absent: no cap.</summary>
    public int? MemoryMb { get; init; }

    /// <summary><c>limits.gpuCount</c>: graphics cards that jobs may have together; 0 refuses every job that asks for one. Absent: as many as are found.</summary>
    public int? GpuCount { get; init; }
}

/// <summary>How one coding agent is started and spoken to.</summary>
public sealed record CodingAgentSettings
{
    /// <summary>Program and arguments.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary><c>protocol</c>: <c>acp</c> (default), or <c>stdin</c>: the prompt on standard input, the answer on standard output.</summary>
    public CodingAgentProtocol Protocol { get; init; } = CodingAgentProtocol.Acp;

    /// <summary><c>environment</c>: set for this agent only.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary><c>mode</c>: the session mode to set, as the agent names it, for example <c>read-only</c>. Absent: the agent's own default.</summary>
    public string? Mode { get; init; }
}

public enum CodingAgentProtocol
{
    Acp,
    Stdin,
}

/// <summary>Values that never leave the machine in logs, events or responses; each must have at least 6 characters.</summary>
public sealed record MaskSettings
{
    /// <summary><c>mask.environment</c>: names of variables whose values, of the agent's own environment and of the job's, are masked.</summary>
    public IReadOnlyList<string> Environment { get; init; } = [];

    /// <summary><c>mask.literals</c>: values as they are.</summary>
    public IReadOnlyList<string> Literals { get; init; } = [];
}
