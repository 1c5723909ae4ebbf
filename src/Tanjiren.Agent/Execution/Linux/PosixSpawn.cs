using System.Globalization;
using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>
/// posix_spawn for a child that shall inherit nothing of the agent: a session of its own, an empty signal mask, default signal handling (.NET ignores
/// SIGPIPE, which would otherwise be inherited), and no file descriptor but the three given. fork() is no choice in a runtime with threads, and
/// System.Diagnostics.Process sets neither session nor mask and copies what happens to be open.
/// </summary>
internal static unsafe class PosixSpawn
{
    // Larger than any C library's posix_spawnattr_t (336), posix_spawn_file_actions_t (80) and sigset_t (128).
    private const int OpaqueSize = 1024;

    private static readonly nint Attributes = MakeAttributes();
    private static readonly delegate* unmanaged<void*, int, int> AddCloseFrom = FindAddCloseFrom();

    /// <summary>The descriptors that become 0, 1 and 2; -1 stands for /dev/null.</summary>
    [StructLayout(LayoutKind.Auto)]
    public readonly record struct Stdio(int In, int Out, int Error);

    /// <summary>Returns the error number of the C library, 0 for success. Runs under <see cref="MarkedSpawn"/>'s lock.</summary>
    public static int Start(string program, IReadOnlyList<string> argv, IReadOnlyCollection<string> environment,
        string? workingDirectory, Stdio stdio, ulong mark, out int pid)
    {
        using var nativeProgram = new NativeStrings([program]);
        using var nativeArgv = new NativeStrings(argv);
        using var nativeEnvironment = new NativeStrings(environment);
        var actions = stackalloc byte[OpaqueSize];
        Check(Libc.FileActionsInit(actions));
        try
        {
            AddStdio(actions, stdio.In, 0, Libc.O_RDONLY);
            AddStdio(actions, stdio.Out, 1, Libc.O_WRONLY);
            AddStdio(actions, stdio.Error, 2, Libc.O_WRONLY);
            AddCloseRest(actions);
            if (workingDirectory is not null) Check(Libc.FileActionsAddChdir(actions, workingDirectory));

            var started = 0;
            // Pointers cannot be captured by the lambda; the blocks outlive it.
            nint path = (nint)nativeProgram.Pointer[0], arguments = (nint)nativeArgv.Pointer, variables = (nint)nativeEnvironment.Pointer, steps = (nint)actions;
            var error = MarkedSpawn.Run(mark, () =>
                Libc.PosixSpawn(out started, (byte*)path, (void*)steps, (void*)Attributes, (byte**)arguments, (byte**)variables));
            pid = error == 0 ? started : 0;
            return error;
        }
        finally
        {
            _ = Libc.FileActionsDestroy(actions);
        }
    }

    private static void AddStdio(byte* actions, int fd, int target, int flags) => Check(fd < 0
        ? Libc.FileActionsAddOpen(actions, target, "/dev/null", flags, 0)
        : Libc.FileActionsAddDup2(actions, fd, target));

    /// <summary>Closes what the agent itself inherited without close-on-exec (a shell's or a supervisor's descriptors); .NET's own are close-on-exec anyway.</summary>
    private static void AddCloseRest(byte* actions)
    {
        if (AddCloseFrom is not null)
        {
            Check(AddCloseFrom(actions, 3));
            return;
        }
        foreach (var path in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            var fd = int.Parse(Path.GetFileName(path.AsSpan()), CultureInfo.InvariantCulture);
            if (fd < 3) continue;
            var flags = Libc.Fcntl(fd, Libc.F_GETFD, 0);
            if (flags >= 0 && (flags & Libc.FD_CLOEXEC) == 0) Check(Libc.FileActionsAddClose(actions, fd));
        }
    }

    private static nint MakeAttributes()
    {
        // Lives as long as the process, read-only after this.
        var attributes = NativeMemory.AllocZeroed(OpaqueSize);
        var set = stackalloc byte[OpaqueSize];
        Check(Libc.SpawnAttrInit(attributes));
        Check(Libc.SpawnAttrSetFlags(attributes, Libc.POSIX_SPAWN_SETSID | Libc.POSIX_SPAWN_SETSIGMASK | Libc.POSIX_SPAWN_SETSIGDEF));
        Check(Libc.SigEmptySet(set));
        Check(Libc.SpawnAttrSetSigMask(attributes, set));
        Check(Libc.SigFillSet(set));
        Check(Libc.SigDelSet(set, Libc.SIGKILL));
        Check(Libc.SigDelSet(set, Libc.SIGSTOP));
        Check(Libc.SpawnAttrSetSigDefault(attributes, set));
        return (nint)attributes;
    }

    /// <summary>glibc 2.34 has it, musl and older ones do not.</summary>
    private static delegate* unmanaged<void*, int, int> FindAddCloseFrom() =>
        NativeLibrary.TryLoad("libc.so.6", out var libc)
        && NativeLibrary.TryGetExport(libc, "posix_spawn_file_actions_addclosefrom_np", out var address)
            ? (delegate* unmanaged<void*, int, int>)address
            : null;

    private static void Check(int result)
    {
        if (result != 0) throw new InvalidOperationException($"Preparing a process failed with error {result} of the C library.");
    }
}
