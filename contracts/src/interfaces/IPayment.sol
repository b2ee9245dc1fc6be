// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title IPayment
/// @notice Payment channels: a publisher invests tokens for one provider and one pod, the provider claims what the
/// pod has used, and the publisher gets the rest back after an unlock time.
///
/// @dev A channel is named by (publisher, provider, podId). A publisher's functions act on the channel whose publisher
/// is the caller, a provider's functions on the one whose provider is the caller, so nobody else can move its funds.
///
/// Units: amounts are base units of `token()`; times are seconds, instants are Unix seconds of block time.
///
/// A channel exists while its publisher has invested in it (`investedByPublisher` > 0) and it was not closed. An unlock
/// has passed at `block.timestamp >= unlockedAt`, that instant included; `unlockedAt` is 0 while no unlock runs.
///
/// Every function that changes something refuses to be entered from within another one
/// (`ReentrancyGuardReentrantCall`), and passes on the token's own refusals.
interface IPayment {
    // ------------------------------------------------------------------------------------------------ types

    /// @notice Which channel.
    /// @param publisher Who pays.
    /// @param provider Who is paid.
    /// @param podId For which pod.
    struct Key {
        address publisher;
        address provider;
        bytes32 podId;
    }

    /// @notice One entry of `withdrawMany`; its provider is the caller.
    /// @param publisher Who pays.
    /// @param podId For which pod.
    /// @param life The life of the channel that the claim is for, as `life` counts it.
    /// @param total What the provider should have been paid over that life [base units]; more than is invested means
    /// all of it.
    struct Claim {
        address publisher;
        bytes32 podId;
        uint256 life;
        uint256 total;
    }

    /// @notice A channel's record, as `channelsOf` returns it.
    /// @param investedByPublisher Paid in and not taken back, in this life [base units].
    /// @param withdrawnByProvider Paid to the provider in this life, at most what is invested [base units].
    /// @param unlockTime From `unlock` until the publisher can take the rest [s], at most 365 days.
    /// @param unlockedAt When the unlock passes [Unix s]; 0 while none runs.
    /// @param life How often this channel was created.
    struct Record {
        uint256 investedByPublisher;
        uint256 withdrawnByProvider;
        uint256 unlockTime;
        uint256 unlockedAt;
        uint256 life;
    }

    /// @notice Why an entry of `withdrawMany` was not paid; checked in this order.
    /// DoesNotExist: there is no such channel. OtherLife: the claim is for another creation of it.
    /// AmountRequired: nothing more is due.
    enum SkipReason {
        DoesNotExist,
        OtherLife,
        AmountRequired
    }

    // ------------------------------------------------------------------------------------------------ events

    /// @notice A channel began a life.
    event ChannelCreated(address indexed publisher, address indexed provider, bytes32 indexed podId);

    /// @notice The publisher paid in.
    /// @param depositAmount What was received [base units]; less than what was asked when the token takes a fee.
    event Deposited(
        address indexed publisher, address indexed provider, bytes32 indexed podId, uint256 depositAmount
    );

    /// @notice The publisher can take the rest back from `unlockedAt` [Unix s] on.
    event UnlockTimerStarted(
        address indexed publisher, address indexed provider, bytes32 indexed podId, uint256 unlockedAt
    );

    /// @notice `unlockedAmount` [base units] went back to the publisher.
    event Unlocked(
        address indexed publisher, address indexed provider, bytes32 indexed podId, uint256 unlockedAmount
    );

    /// @notice `withdrawnAmount` [base units] was paid for the provider.
    event Withdrawn(
        address indexed publisher, address indexed provider, bytes32 indexed podId, uint256 withdrawnAmount
    );

    /// @notice The channel's record was deleted.
    event ChannelClosed(address indexed publisher, address indexed provider, bytes32 indexed podId);

    /// @notice An entry of `withdrawMany` was not paid.
    event ClaimSkipped(
        address indexed publisher, address indexed provider, bytes32 indexed podId, SkipReason reason
    );

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice The amount to move is 0.
    error AmountRequired();

    /// @notice The channel exists already.
    error AlreadyExists();

    /// @notice The channel does not exist.
    error DoesNotExist();

    /// @notice No unlock runs, or it has not passed.
    error ChannelLocked();

    /// @notice More was claimed than is invested.
    error InsufficientFunds();

    /// @notice The unlock time is too long.
    /// @param unlockTime What was asked [s].
    /// @param longest What is allowed [s].
    error UnlockTimeTooLong(uint256 unlockTime, uint256 longest);

    // ------------------------------------------------------------------------------------------------ publisher

    /// @notice Opens a channel with a first deposit, pulled from the caller.
    ///
    /// @dev Emits {ChannelCreated} and {Deposited}.
    ///
    /// Notes:
    /// - What is credited is what was received.
    /// - The channel starts locked, whatever became of an earlier one of this name, and `life` grows by one.
    ///
    /// Requirements, checked in this order:
    /// - `initialAmount` must not be 0 (`AmountRequired`).
    /// - The channel must not exist (`AlreadyExists`).
    /// - `unlockTime` must be at most 365 days (`UnlockTimeTooLong`).
    /// - The caller must hold `initialAmount` and have approved it.
    /// - Something must have been received (`AmountRequired`).
    ///
    /// @param provider Who is to be paid.
    /// @param podId For which pod.
    /// @param unlockTime From `unlock` until the publisher can take the rest [s].
    /// @param initialAmount What to pull [base units].
    function createChannel(address provider, bytes32 podId, uint256 unlockTime, uint256 initialAmount) external;

    /// @notice Adds to a channel and cancels its unlock, if one runs or has passed.
    ///
    /// @dev Emits {Deposited}.
    ///
    /// Requirements, checked in this order:
    /// - `amount` must not be 0 (`AmountRequired`).
    /// - The channel must exist (`DoesNotExist`).
    /// - The caller must hold `amount` and have approved it.
    /// - Something must have been received (`AmountRequired`).
    ///
    /// @param provider Who is paid.
    /// @param podId For which pod.
    /// @param amount What to pull [base units].
    function deposit(address provider, bytes32 podId, uint256 amount) external;

    /// @notice Starts the timer: from now + `unlockTime` on, the caller can take the rest back.
    ///
    /// @dev Emits {UnlockTimerStarted}, unless an unlock runs or has passed: then nothing changes.
    ///
    /// Requirements:
    /// - The channel must exist (`DoesNotExist`).
    ///
    /// @param provider Who is paid.
    /// @param podId For which pod.
    function unlock(address provider, bytes32 podId) external;

    /// @notice Pays the rest back to the caller; the record stays, with what the provider was paid.
    ///
    /// @dev Emits {Unlocked}.
    ///
    /// Requirements, checked in this order:
    /// - An unlock must have passed (`ChannelLocked`).
    /// - Something must be left (`AmountRequired`).
    ///
    /// @param provider Who is paid.
    /// @param podId For which pod.
    function withdrawUnlocked(address provider, bytes32 podId) external;

    /// @notice Pays the rest back to the caller, if there is any, and deletes the record.
    ///
    /// @dev Emits {Unlocked} if something was left, and {ChannelClosed}.
    ///
    /// Requirements:
    /// - An unlock must have passed (`ChannelLocked`).
    ///
    /// @param provider Who is paid.
    /// @param podId For which pod.
    function closeChannel(address provider, bytes32 podId) external;

    // ------------------------------------------------------------------------------------------------ provider

    /// @notice The final settlement: pays the caller up to a total over the channel's life.
    ///
    /// @dev Emits {Withdrawn}.
    ///
    /// Notes:
    /// - During an unlock it ends the timer (`unlockedAt` becomes now); an unlock that has passed keeps its instant.
    /// - A total that was paid before cannot be paid again, so a repeated call does no harm.
    ///
    /// Requirements, checked in this order:
    /// - `totalWithdrawAmount` must be at most what is invested (`InsufficientFunds`), which is 0 without a channel.
    /// - It must be more than what was paid (`AmountRequired`).
    ///
    /// @param publisher Who pays.
    /// @param podId For which pod.
    /// @param totalWithdrawAmount What the provider should have been paid over the channel's life [base units].
    /// @param transferAddress Who gets the tokens; 0 means the caller.
    function withdrawUpTo(address publisher, bytes32 podId, uint256 totalWithdrawAmount, address transferAddress)
        external;

    /// @notice As `withdrawUpTo` with the total of what was paid so far and `amount`.
    ///
    /// @dev Emits {Withdrawn}. Repeating it pays again: prefer `withdrawUpTo`.
    ///
    /// @param publisher Who pays.
    /// @param podId For which pod.
    /// @param amount What to pay now [base units].
    /// @param transferAddress Who gets the tokens; 0 means the caller.
    function withdraw(address publisher, bytes32 podId, uint256 amount, address transferAddress) external;

    /// @notice The routine claim: pays min(total, invested) − withdrawn of many channels in one transfer.
    ///
    /// @dev Emits {Withdrawn} or {ClaimSkipped} for each entry, in order.
    ///
    /// Notes:
    /// - An entry that cannot be paid is skipped with its reason; it never stops the others.
    /// - It never touches an unlock.
    /// - A claim of another life is skipped, so a late one cannot hit a channel that was created again.
    /// - A channel that is named twice is paid what each entry adds.
    ///
    /// Requirements: none but the token's.
    ///
    /// @param claims What is claimed, of the caller's own channels.
    /// @param transferAddress Who gets the tokens; 0 means the caller.
    function withdrawMany(Claim[] calldata claims, address transferAddress) external;

    /// @notice Gives the rest back to the publisher at once and deletes the record: for a provider that refuses a pod,
    /// or has removed it.
    ///
    /// @dev Emits {Unlocked} if something was left, and {ChannelClosed}. Nobody should wait for it: the token may
    /// refuse the transfer.
    ///
    /// Requirements:
    /// - The channel must exist (`DoesNotExist`).
    ///
    /// @param publisher Who gets the rest.
    /// @param podId For which pod.
    function release(address publisher, bytes32 podId) external;

    // ------------------------------------------------------------------------------------------------ views

    /// @notice The token that channels are paid in.
    function token() external view returns (IERC20);

    /// @notice A channel's record; zeros where there is none.
    /// @return investedByPublisher Paid in and not taken back [base units].
    /// @return withdrawnByProvider Paid to the provider in this life [base units].
    /// @return unlockTime From `unlock` until the publisher can take the rest [s].
    /// @return unlockedAt When the unlock passes [Unix s]; 0 while none runs.
    function channels(address publisher, address provider, bytes32 podId)
        external
        view
        returns (uint256 investedByPublisher, uint256 withdrawnByProvider, uint256 unlockTime, uint256 unlockedAt);

    /// @notice What can still be claimed or taken back [base units]; 0 where there is no channel.
    function available(address publisher, address provider, bytes32 podId) external view returns (uint256);

    /// @notice What the provider was paid in this life [base units]; 0 where there is no channel.
    function withdrawn(address publisher, address provider, bytes32 podId) external view returns (uint256);

    /// @notice How often the channel was created, from 1; survives closing. 0: never.
    function life(address publisher, address provider, bytes32 podId) external view returns (uint256);

    /// @notice Many records at once, lives included, in the order of the keys.
    /// @dev Three words a key in, five words a record out, about 9,050 gas each: an `eth_call` of 50 million gas reads
    /// some 5,500 of them.
    function channelsOf(Key[] calldata keys) external view returns (Record[] memory);
}
